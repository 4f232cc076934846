"""The records of a run across restarts."""

import os
from pathlib import Path

import pytest

from pipeline.training.history import History, Record, read_history


def step(number: int) -> Record:
    return {"step": number, "loss": 1.0 / number}


def test_records_survive_a_restart_and_are_passed_on_once(tmp_path: Path) -> None:
    received: list[Record] = []
    history = History(tmp_path / "run.jsonl", received.append)
    history.add(step(1))
    history.add(step(2))
    history.add({"step": 2, "bleu": 10.0})
    again = History(tmp_path / "run.jsonl", received.append)
    for record in (step(1), step(2), {"step": 2, "bleu": 10.0}, step(3)):
        again.add(record)
    expected = [step(1), step(2), {"step": 2, "bleu": 10.0}, step(3)]
    assert received == expected
    assert list(read_history(tmp_path / "run.jsonl")) == expected


def test_a_record_that_a_crash_cut_short_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    History(path, lambda _: None).add(step(1))
    path.write_text(path.read_text() + '{"step": 2, "lo')
    history = History(path, lambda _: None)
    history.add(step(2))
    assert list(read_history(path)) == [step(1), step(2)]


def test_a_full_disk_at_a_restart_takes_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"
    History(path, lambda _: None).add(step(1))
    before = path.read_bytes()

    def full(file: Path, content: bytes) -> int:
        with file.open("wb") as stream:
            stream.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", lambda file, text, *_: full(file, text.encode()))
    with pytest.raises(OSError, match="No space"):
        History(path, lambda _: None)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_epoch_is_on_the_disk_before_it_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = set[int]()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    path, told = tmp_path / "run.jsonl", list[bool]()
    history = History(path, lambda _: told.append(path.stat().st_ino in synced))
    synced.clear()
    history.add(step(1))
    history.add({"step": 1, "bleu": 10.0})
    assert told == [False, True]


@pytest.mark.parametrize("damaged", [b"\0" * 30 + b"\n", b"{}}\n", b"\xff\n"])
def test_records_after_a_damaged_one_are_made_again(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "run.jsonl"
    History(path, lambda _: None).add(step(1))
    path.write_bytes(path.read_bytes() + damaged + b'{"step": 3, "loss": 1.0}\n')
    history = History(path, lambda _: None)
    history.add(step(2))
    assert list(read_history(path)) == [step(1), step(2)]
