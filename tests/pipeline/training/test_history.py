"""The records of a run across restarts."""

from pathlib import Path

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
