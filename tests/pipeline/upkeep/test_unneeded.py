"""Files of trainings that nobody needs; what somebody may need is left."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.training.runs.run_record import run_name
from pipeline.upkeep.runs import find_trainings
from pipeline.upkeep.unneeded import find_unneeded, remove
from tests.pipeline.cluster.test_run_folder import write_checkpoint
from tests.pipeline.upkeep.conftest import ENCODED, Home

A, B, C, D = (letter * 64 for letter in "abcd")
LONG_AGO = (0, 0)


def clean(*ids: str) -> dict[str, str]:
    """Remove what nobody needs; return why, by what was removed."""
    found = find_unneeded(find_trainings(), ids)
    assert remove(found) == []
    return {Path(file.place).name: each.reason for each in found for file in each.files}


def names(fingerprint: str) -> set[str]:
    return {run_name(fingerprint) + end for end in ("", ".jsonl", ".run.json")}


def there(home: Home) -> set[str]:
    return {path.name for path in (home.folder / "ray").iterdir()}


def test_what_can_be_continued_or_runs_is_left(home: Home) -> None:
    home.stopped(A)
    home.stopped(B)
    home.running(B)
    home.finished(C)
    assert clean() == {}
    assert there(home) == names(A) | names(B)


def test_a_training_that_was_finished_meanwhile(home: Home) -> None:
    for fingerprint in (A, B):
        home.stopped(fingerprint)
    home.finished(A)
    assert clean() == dict.fromkeys(names(A), "the training is finished")
    assert there(home) == names(B)
    assert (home.folder / "store" / "training" / A / "manifest.json").exists()


def test_a_finished_training_that_is_made_anew_is_left(home: Home) -> None:
    home.stopped(A)
    home.finished(A)
    home.running(A)
    assert clean() == {}
    assert there(home) == names(A)


def test_a_training_whose_batches_are_gone(home: Home) -> None:
    home.stopped(A)
    home.stopped(B, inputs={"encoded": "f" * 64})
    assert set(clean()) == names(B)
    shutil.rmtree(home.folder / "store" / "encoded" / ENCODED)
    assert set(clean()) == names(A)


def test_what_was_set_aside_is_needed_until_there_is_a_checkpoint_after_it(home: Home) -> None:
    run = home.stopped(A) / run_name(A)
    aside = f"{run_name(A)}.damaged-1234abcd"
    write_checkpoint(run.with_name(aside) / "checkpoint_1", 1, 9.0)
    assert clean() == {}
    checkpoint = write_checkpoint(run / "checkpoint_2", 2, 9.0)
    (checkpoint / "model.safetensors").write_bytes(b"half")
    assert clean() == {}, "that one is not whole"
    write_checkpoint(run / "checkpoint_3", 3, 9.0)
    home.running(A)
    assert clean() == {}, "it runs"
    home.held.close()
    assert set(clean()) == {aside}
    assert there(home) == names(A)


def test_one_that_is_named_goes_whole(home: Home) -> None:
    for fingerprint in (A, B):
        home.stopped(fingerprint)
    assert clean("aa") == dict.fromkeys(names(A), "it was named")
    assert there(home) == names(B)


def test_what_runs_is_not_removed_even_if_it_is_named(home: Home) -> None:
    home.stopped(A)
    home.running(A)
    with pytest.raises(InputError, match=r"^aaaaaaaaaaaaaaaa: this training is running; stop it first$"):
        clean("aa")


def test_outputs_are_the_stores(home: Home) -> None:
    home.finished(A)
    with pytest.raises(InputError, match="is finished, and has left nothing but its output"):
        clean("aa")


def test_one_that_has_begun_again_since_it_was_looked_at_is_left(home: Home) -> None:
    for fingerprint in (A, B):
        home.stopped(fingerprint)
    found = find_unneeded(find_trainings(), ["aa", "bb"])
    home.running(A)
    assert [each.training.fingerprint for each in remove(found)] == [A]
    assert there(home) == names(A)


@pytest.mark.parametrize("is_named", [True, False])
def test_what_another_machine_may_be_at_is_left_for_a_day(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    monkeypatch.setenv("NMT_STORAGE", str(tmp_path / "shared"))
    ray = home.stopped(A, tmp_path / "shared" / "ray", host="another")
    home.finished(D)
    shutil.rmtree(home.folder / "store" / "encoded")
    if is_named:
        with pytest.raises(InputError, match="another may be at it, and wrote within the last day"):
            clean("aa")
    else:
        assert clean() == {}
    for path in ray.rglob("*"):
        os.utime(path, LONG_AGO)
    assert set(clean(*["aa"] * is_named)) == names(A)
    assert list(ray.iterdir()) == []
