"""The record that a training leaves when it starts."""

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.training.runs.run_record import RunRecord, parse_run_record, read_run_record

RECORD = RunRecord("f" * 64, "captions", "nmt", {"encoded": "e" * 64}, ["nmt", "train", "--preset", "captions"])


def test_it_says_who_trains_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path / "ray")
    assert path.name == "training-ffffffffffffffff.run.json"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert read_run_record(path) == RECORD
    assert (RECORD.host, RECORD.pid, RECORD.folder) == (socket.gethostname(), os.getpid(), str(Path.cwd()))
    assert read_run_record(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    "change", [{"pid": None, "more": 1}, {"command": "nmt train"}, {"fingerprint": 3}, {"inputs": []}]
)
def test_what_is_no_record_is_none(change: dict[str, object]) -> None:
    whole = asdict(RECORD)
    assert parse_run_record(json.dumps(whole).encode()) == RECORD
    assert parse_run_record(json.dumps(whole | change).encode()) is None
    assert parse_run_record(json.dumps(whole).encode()[:-5]) is None
    assert parse_run_record(b"[]") is None
