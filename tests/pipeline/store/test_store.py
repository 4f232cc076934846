"""The store: made once, reused, made again when it has to be."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.stopping import StoppedError, stopping
from pipeline.store import artifact_folder
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

STAGE = Stage("tokenizer", Settings({"size": 3}), {"corpus": "abc"})


def write(folder: Path) -> Figures:
    (folder / "out.txt").write_text("content")
    return {"lines": 1}


def test_a_second_run_reuses_what_the_first_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.produce(STAGE, write)
    again = store.produce(STAGE, lambda _: pytest.fail("made again"))
    assert (made.reused, again.reused) == (Reuse.NO, Reuse.YES)
    assert again.path == made.path == tmp_path / "tokenizer" / STAGE.fingerprint
    assert again.figures == {"lines": 1}
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["config"] == {"size": 3}
    assert manifest["inputs"] == {"corpus": "abc"}
    assert list(manifest["files"]) == ["out.txt"]
    assert manifest["versions"]["torch"].startswith("2.")
    assert manifest["made_by"]["module"] == __name__


def test_building_is_announced_before_it_begins(tmp_path: Path) -> None:
    existed: list[bool] = []
    folder = tmp_path / STAGE.address
    for _ in range(2):
        Store(tmp_path, building=lambda: existed.append(folder.exists())).produce(STAGE, write)
    assert existed == [False]


def test_output_of_other_code_is_reused_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.produce(STAGE, write)
    monkeypatch.setattr("pipeline.store.store.code_digest", lambda module: f"other code of {module}")
    again = store.produce(STAGE, lambda _: pytest.fail("made again"))
    assert again.reused is Reuse.OTHER_CODE
    assert again.reused.text == "reused, made by other code"
    found = store.find(STAGE)
    assert found is not None
    assert found.reused is Reuse.OTHER_CODE


def test_fresh_output_replaces_the_old_one_once(tmp_path: Path) -> None:
    Store(tmp_path).produce(STAGE, write)
    other = Stage("corpus", Settings({}), {})
    Store(tmp_path).produce(other, write)

    def write_other(folder: Path) -> Figures:
        (folder / "new.txt").write_text("new")
        return {"lines": 2}

    store = Store(tmp_path, fresh={"tokenizer"})
    assert store.find(STAGE) is None
    assert store.renews(STAGE)
    assert store.produce(other, write).reused
    made = store.produce(STAGE, write_other)
    assert not made.reused
    assert sorted(path.name for path in made.path.iterdir()) == ["manifest.json", "new.txt"]
    assert store.produce(STAGE, write).figures == Store(tmp_path).produce(STAGE, write).figures == {"lines": 2}
    assert [path for path in (tmp_path / "tokenizer").iterdir() if path.is_dir()] == [made.path]


def test_a_fresh_build_that_fails_keeps_the_old_output(tmp_path: Path) -> None:
    Store(tmp_path).produce(STAGE, write)

    def fail(folder: Path) -> Figures:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Store(tmp_path, fresh={"tokenizer"}).produce(STAGE, fail)
    assert Store(tmp_path).produce(STAGE, fail).figures == {"lines": 1}


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_stage_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> Figures:
        write(folder)
        raise error

    store = Store(tmp_path)
    with pytest.raises(type(error)):
        store.produce(STAGE, fail)
    assert store.find(STAGE) is None
    assert [path for path in (tmp_path / "tokenizer").iterdir() if path.is_dir()] == []
    assert not store.produce(STAGE, write).reused


@pytest.mark.parametrize("damage", ["out.txt", "manifest.json"])
def test_damaged_output_is_set_aside_and_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="pipeline")  # Whatever other tests have had libraries set.
    store = Store(tmp_path)
    (store.produce(STAGE, write).path / damage).write_text("{}")
    again = store.produce(STAGE, write)
    assert not again.reused
    assert (again.path / "out.txt").read_text() == "content"
    caplog.clear()
    (again.path / damage).write_text("{}")
    again = store.produce(STAGE, write)
    (aside,) = (tmp_path / "tokenizer").glob("*.damaged-*")  # The last one, however often.
    said = f"{again.path}: {damage} is damaged; set aside as {aside.name}, and made or copied anew"
    assert said in caplog.text, "hours may repeat: it is not done in silence"
    assert len(store.manifests("tokenizer")) == 1


def test_a_manifest_that_a_crash_cut_short_hides_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.produce(STAGE, write)
    other = store.produce(Stage("tokenizer", Settings({"size": 4}), {}), write)
    manifest = other.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:50])
    assert [found["config"] for found in store.manifests("tokenizer")] == [{"size": 3}]


@contextmanager
def another_process(root: Path, fails: bool = False) -> Iterator[threading.Event]:
    """Make the stage in a thread, from when the context begins until the event is set or the context ends."""
    begun, end = threading.Event(), threading.Event()

    def build(folder: Path) -> Figures:
        begun.set()
        assert end.wait(60)
        if fails:
            raise OSError(28, "No space left on device")
        return write(folder)

    def produce() -> None:
        try:
            Store(root).produce(STAGE, build)
        except OSError:
            assert fails

    thread = threading.Thread(target=produce)
    thread.start()
    assert begun.wait(60)
    try:
        yield end
    finally:
        end.set()
        thread.join()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_folder, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(artifact_folder, "POLL_SECONDS", 0.01)


@pytest.mark.usefixtures("_impatient")
def test_who_waits_looks_on_and_takes_what_another_makes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="pipeline")
    looks: list[bool] = []
    with another_process(tmp_path) as end:

        def look() -> None:
            looks.append(Store(tmp_path).find(STAGE) is None)
            if len(looks) == 3:
                end.set()

        taken = Store(tmp_path).produce(STAGE, lambda _: pytest.fail("made twice"), look)
    assert looks[:3] == [True] * 3
    assert taken.reused is Reuse.MEANWHILE
    assert taken.reused.text == "made by another command meanwhile"
    assert [record.getMessage() for record in caplog.records] == [
        "another process is making the same tokenizer: following it"
    ]
    assert Store(tmp_path).produce(STAGE, lambda _: pytest.fail("made again")).reused is Reuse.YES


@pytest.mark.usefixtures("_impatient")
def test_who_waits_makes_it_if_the_other_one_fails(tmp_path: Path) -> None:
    with another_process(tmp_path, fails=True) as end:
        assert Store(tmp_path).produce(STAGE, write, end.set).reused is Reuse.NO


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("looks_on", [True, False])
def test_who_waits_is_stopped_by_a_time_limit(tmp_path: Path, looks_on: bool) -> None:
    with another_process(tmp_path), stopping(0.0):
        store, look = Store(tmp_path), (lambda: None) if looks_on else None
        expected = "stopped by the time limit while another process was making the same tokenizer; run the same command"
        with pytest.raises(StoppedError, match=expected):
            store.produce(STAGE, lambda _: pytest.fail("made"), look)


def test_a_stage_that_is_being_made_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.unless_made(STAGE) as free:
        assert free
        with store.unless_made(STAGE) as free:
            assert not free
    with another_process(tmp_path), store.unless_made(STAGE) as free:
        assert not free
