"""Trainings that run, have stopped, are finished; here, and in a storage that machines share."""

import json
import shlex
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.store.storage import shared_folder
from pipeline.upkeep.runs import Training, chosen, find_trainings, id_length
from pipeline.upkeep.unneeded import Unneeded, remove
from tests.pipeline.store.test_storage import use_s3
from tests.pipeline.upkeep.conftest import COMMAND, LINES, STEP, Home
from tests.s3_server import s3_server

A, B, C = "a" * 64, "b" * 64, "c" * 64


def only() -> Training:
    (training,) = find_trainings()
    return training


def test_in_an_empty_home_there_is_none_and_nothing_is_made(nmt_home: Path) -> None:
    assert find_trainings() == []
    assert not nmt_home.exists()


def test_who_holds_the_lock_runs_and_who_does_not_has_stopped(home: Home) -> None:
    home.stopped(A)
    stopped = only()
    assert (stopped.state, stopped.fingerprint, stopped.name) == ("stopped", A, "captions")
    home.running(A)
    running = only()
    assert (running.state, running.continued_by()) == ("running", None)
    home.held.close()
    assert only() == stopped, "looking has changed nothing"


def test_how_far_it_is_and_when_and_how_large(home: Home) -> None:
    ray = home.stopped(A)
    training = only()
    assert (training.last, training.bleu) == (STEP, 12.5)
    files = [path for path in ray.rglob("*") if path.is_file()]
    assert training.bytes == sum(path.stat().st_size for path in files) > 1000
    assert training.active is not None
    assert training.active.timestamp() == pytest.approx(max(path.stat().st_mtime for path in files), abs=1e-3)


@pytest.mark.parametrize("lines", [[], [*LINES[:1]], [*LINES[:2]]])
def test_before_the_first_step_or_validation(home: Home, lines: list[dict[str, float]]) -> None:
    home.stopped(A, lines=lines)
    training = only()
    assert training.last == (LINES[0] if lines else {})
    assert training.bleu == (12.5 if len(lines) == 2 else None)


def test_a_record_that_is_being_written_is_not_read(home: Home) -> None:
    ray = home.stopped(A)
    (path,) = ray.glob("*.jsonl")
    path.write_text(path.read_text() + '{"step": 5, "ep')
    assert only().last == STEP


def test_a_training_is_there_once_when_it_is_finished(home: Home) -> None:
    home.finished(A)
    training = only()
    assert (training.state, training.name, training.bleu) == ("finished", "captions", 50.0)
    assert training.last == {"step": 9, "epoch": 3, "done": 1.0}
    assert training.continued_by() is None
    home.stopped(A)  # What was to be removed at the end.
    assert only().state == "finished"
    home.running(A)  # Made anew: the old output is there until it is done.
    assert only().state == "running"


def test_a_process_that_checks_an_output_does_not_train(home: Home) -> None:
    home.finished(A)
    home.running(A)
    assert only().state == "finished"


def test_one_that_an_older_version_has_left_is_told_without_its_command(home: Home) -> None:
    ray = home.stopped(A)
    (record,) = ray.glob("*.run.json")
    record.unlink()
    training = only()
    assert (training.state, training.fingerprint, training.name) == ("stopped", A[:16], None)
    assert training.last == STEP
    assert training.continued_by() is None
    home.running(A)
    assert (only().state, only().fingerprint) == ("running", A)


def test_those_that_run_come_first_and_those_that_are_finished_last(home: Home) -> None:
    home.finished(A)
    home.stopped(B)
    home.running(C)
    assert [training.fingerprint for training in find_trainings()] == [C, B, A]


def test_the_line_that_continues_it_is_the_command(home: Home) -> None:
    home.stopped(A, command=["nmt", "train", "--preset", "captions", "--set", "training.until=2G tokens"])
    assert only().continued_by() == "nmt train --preset captions --set 'training.until=2G tokens'"
    assert only().continued_by("/x/nmt") == "/x/nmt train --preset captions --set 'training.until=2G tokens'"


@pytest.mark.parametrize(
    "words", [["--preset", "mine.yaml"], ["--set", "corpus.path=data/"], ["--set", "tokenizer.model=own.model"]]
)
def test_a_command_with_relative_paths_is_given_where_they_begin(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    folder = tmp_path / "my project"
    folder.mkdir()
    home.stopped(A, command=["nmt", "train", *words], folder=str(folder))
    line = only().continued_by()
    assert line is not None
    assert shlex.split(line) == ["cd", str(folder), "&&", "nmt", "train", *words]
    monkeypatch.chdir(folder)
    assert only().continued_by() == shlex.join(["nmt", "train", *words])
    monkeypatch.chdir(home.folder.parent)
    monkeypatch.setenv("NMT_HOME", "home")
    line = only().continued_by()
    assert line is not None
    assert f" && NMT_HOME={home.folder} nmt train" in line


@pytest.mark.parametrize("words", [["--set", "corpus.path=/data"], ["--set", "corpus.path=s3://bucket/x"]])
def test_other_commands_are_given_anywhere(home: Home, words: list[str]) -> None:
    home.stopped(A, command=["nmt", "train", *words], folder="/elsewhere")
    assert only().continued_by() == shlex.join(["nmt", "train", *words])


class TestInAStorage:
    """Of what other machines do, no more is said than is known."""

    @pytest.fixture(autouse=True)
    def storage(self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("NMT_STORAGE", str(tmp_path / "shared"))
        return tmp_path / "shared"

    def test_another_machine_may_be_at_it(self, home: Home, storage: Path) -> None:
        home.stopped(A, storage / "ray", host="another")
        training = only()
        assert (training.state, training.last, training.bleu) == ("elsewhere", STEP, 12.5)
        assert training.summary()["host"] == "another"
        assert training.continued_by() == shlex.join(COMMAND)

    def test_ones_own_is_known(self, home: Home, storage: Path) -> None:
        home.stopped(A, storage / "ray")
        assert only().state == "stopped"
        home.running(A)
        assert only().state == "running"

    def test_the_last_who_started_it_counts(self, home: Home, storage: Path) -> None:
        home.stopped(A, started="2026-11-30T12:00:00+00:00")
        home.stopped(A, storage / "ray", host="another", started="2026-11-30T13:00:00+00:00", lines=[*LINES, *LINES])
        training = only()
        assert training.state == "elsewhere"
        assert len(training.files) == 6, "here and there"

    def test_what_another_machine_has_finished_is_known(self, home: Home, storage: Path) -> None:
        home.finished(A)
        storage.mkdir()
        (home.folder / "store").rename(storage / "store")
        training = only()
        assert (training.state, training.name) == ("finished", "captions")
        assert training.bytes > 0


def test_a_training_in_s3_is_told_and_removed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        use_s3(server, tmp_path, monkeypatch)
        ray = home.stopped(A, tmp_path / "other" / "ray", host="another")
        shared = shared_folder("ray")
        assert shared is not None
        for path in filter(Path.is_file, ray.rglob("*")):
            shared.upload(path, str(path.relative_to(ray)))
        training = only()
        assert (training.state, training.last, training.bleu) == ("elsewhere", STEP, 12.5)
        assert training.bytes > 1000
        remove([Unneeded(training, "it is given up", training.files)])
        assert find_trainings() == []


def test_a_training_is_named_by_the_beginning_of_its_fingerprint(home: Home) -> None:
    alike = "a" * 10 + "b" * 54
    for fingerprint in (A, alike, B):
        home.stopped(fingerprint)
    trainings = find_trainings()
    assert id_length(trainings) == 11
    assert id_length([]) == 8
    assert {each.fingerprint for each in chosen(trainings, ["bb", "a" * 11])} == {A, B}
    assert chosen(trainings, []) == trainings
    with pytest.raises(InputError, match=r"^aaaa: 2 trainings begin so; give more of its characters$"):
        chosen(trainings, ["aaaa"])
    with pytest.raises(InputError, match=r"^dd: there is no such training; `nmt runs` lists all$"):
        chosen(trainings, ["bb", "dd"])


def test_its_summary_is_json(home: Home) -> None:
    home.stopped(A)
    home.running(B)
    summaries = json.loads(json.dumps([training.summary() for training in find_trainings()]))
    assert [summary["state"] for summary in summaries] == ["running", "stopped"]
    assert summaries[1]["continued_by"] == shlex.join(COMMAND)
