"""A second command that follows a training by the file of its records, and takes it over."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.training.history import History, Record, read_history
from pipeline.training.runs.follower import Follower


def step(number: int) -> Record:
    return {"step": number, "loss": 1.0 / number}


def validation(number: int) -> Record:
    return {"step": number, "bleu": float(number)}


RECORDS = [step(1), step(2), validation(2), step(3), step(4), validation(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


@pytest.fixture
def passed_on() -> list[Record]:
    return []


@pytest.fixture
def follower(path: Path, passed_on: list[Record]) -> Iterator[Follower]:
    with closing(Follower(path, passed_on.append)) as following:
        yield following


def write(path: Path, *records: Record) -> None:
    with path.open("a") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)


def test_every_record_is_passed_on_once_whenever_one_looks(
    path: Path, follower: Follower, passed_on: list[Record]
) -> None:
    follower.look()
    assert passed_on == [], "the other one has not begun to write"
    for number, record in enumerate(RECORDS, start=1):
        write(path, record)
        for _ in range(number % 3):
            follower.look()
            assert passed_on == RECORDS[:number]
    follower.look()
    assert passed_on == RECORDS


def test_a_line_that_is_being_written_is_passed_on_when_it_is_whole(
    path: Path, follower: Follower, passed_on: list[Record]
) -> None:
    for letter in json.dumps(RECORDS[0]):
        with path.open("a") as stream:
            stream.write(letter)
        follower.look()
        assert passed_on == []
    with path.open("a") as stream:
        stream.write("\n")
    follower.look()
    assert passed_on == RECORDS[:1]


def test_a_file_that_takes_the_place_of_the_first_loses_and_doubles_nothing(
    path: Path, follower: Follower, passed_on: list[Record]
) -> None:
    """As a process does that continues the training: it writes the whole records again."""
    write(path, *RECORDS[:2])
    follower.look()
    write(path, *RECORDS[2:4])  # Not looked at before the file is replaced.
    with path.open("a") as stream:
        stream.write('{"step": 4, "lo')
    again = History(path, lambda _: None)
    follower.look()
    assert passed_on == RECORDS[:4]
    for record in RECORDS[3:]:
        again.add(record)
        follower.look()
    assert passed_on == RECORDS


@pytest.mark.parametrize("looked_at", range(len(RECORDS) + 1))
@pytest.mark.parametrize("saved", [0, 2, 3])
def test_who_takes_over_observes_each_record_once(
    path: Path, follower: Follower, passed_on: list[Record], looked_at: int, saved: int
) -> None:
    """The first one dies after five records, of which some were looked at, and is continued after `saved` of them."""
    write(path, *RECORDS[:looked_at][:5])
    follower.look()
    write(path, *RECORDS[looked_at:5])
    follower.catch_up()
    own = History(path, passed_on.append)
    for record in RECORDS[saved:]:
        own.add(record)
    assert passed_on == RECORDS
    assert list(read_history(path)) == RECORDS


def test_of_a_finished_training_the_rest_is_passed_on_from_its_history(
    path: Path, follower: Follower, passed_on: list[Record], tmp_path: Path
) -> None:
    write(path, *RECORDS[:3])
    follower.look()
    path.unlink()
    follower.look()
    write(tmp_path / "history.jsonl", *RECORDS)
    follower.catch_up(tmp_path / "history.jsonl")
    assert passed_on == RECORDS


def test_what_was_there_before_is_not_told_to_who_follows_nobody(
    path: Path, follower: Follower, passed_on: list[Record]
) -> None:
    write(path, *RECORDS)
    follower.catch_up()
    assert passed_on == [], "the command that was stopped has told it"
