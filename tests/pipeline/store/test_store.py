import json
from pathlib import Path

import pytest

from pipeline.store.store import Figures, Stage, Store, fingerprint

STAGE = Stage("stage", 1, {"size": 3}, {"corpus": "abc"})


def write(folder: Path) -> Figures:
    (folder / "out.txt").write_text("content")
    return {"lines": 1}


def test_a_second_run_reuses_what_the_first_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.produce(STAGE, write)
    again = store.produce(STAGE, lambda _: pytest.fail("made again"))
    assert (made.reused, again.reused) == (False, True)
    assert again.path == made.path == tmp_path / "stage" / STAGE.fingerprint
    assert again.figures == {"lines": 1}
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["config"] == {"size": 3}
    assert manifest["inputs"] == {"corpus": "abc"}
    assert list(manifest["files"]) == ["out.txt"]
    assert manifest["versions"]["torch"].startswith("2.")


def test_what_has_to_be_built_is_told_before(tmp_path: Path) -> None:
    told: list[bool] = []
    place = tmp_path / STAGE.address
    for _ in range(2):
        Store(tmp_path, building=lambda: told.append(place.exists())).produce(STAGE, write)
    assert told == [False]


@pytest.mark.parametrize(
    "other",
    [
        Stage("other", 1, {"size": 3}, {"corpus": "abc"}),
        Stage("stage", 2, {"size": 3}, {"corpus": "abc"}),
        Stage("stage", 1, {"size": 4}, {"corpus": "abc"}),
        Stage("stage", 1, {"size": 3}, {"corpus": "abd"}),
    ],
)
def test_whatever_a_stage_depends_on_changes_its_fingerprint(other: Stage) -> None:
    assert other.fingerprint != STAGE.fingerprint


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_stage_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> Figures:
        write(folder)
        raise error

    store = Store(tmp_path)
    with pytest.raises(type(error)):
        store.produce(STAGE, fail)
    assert store.find(STAGE) is None
    assert [path for path in (tmp_path / "stage").iterdir() if path.is_dir()] == []
    assert not store.produce(STAGE, write).reused


@pytest.mark.parametrize("damage", ["out.txt", "manifest.json"])
def test_damaged_output_is_set_aside_and_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    (store.produce(STAGE, write).path / damage).write_text("{}")
    again = store.produce(STAGE, write)
    assert not again.reused
    assert (again.path / "out.txt").read_text() == "content"
    assert len(list((tmp_path / "stage").glob("*.damaged-*"))) == 1
    assert len(store.manifests("stage")) == 1
