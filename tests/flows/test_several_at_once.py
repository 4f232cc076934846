"""Two commands that want the same training at once: one makes it, the other follows, and goes on if the first dies."""

import json
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import CommandLine, command_line

EPOCHS = 20
FOLLOWS = "another process is making the same training: following it"


class Command:
    """A command that runs, and what it has said so far."""

    def __init__(self, nmt: CommandLine, news: threading.Condition, *arguments: str) -> None:
        self.process = nmt.start(*arguments, tiny=True)
        self.lines: list[str] = []
        self._news = news
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._say(line.rstrip("\n"))
        self._say("the end")

    def _say(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def epochs(self) -> list[int]:
        return [int(number) for number in re.findall(r"^training     epoch (\d+):", self.text, re.M)]

    @property
    def follows(self) -> bool:
        return bool(self.epochs) and FOLLOWS in self.text

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        with self.process:
            code = self.process.wait()
            self._reader.join()
        return code


@pytest.mark.slow
def test_the_second_follows_the_first_and_goes_on_when_that_is_killed(tmp_path: Path) -> None:
    nmt, news = command_line(tmp_path).with_databases(), threading.Condition()
    arguments = ("train", "--set", f"training.epochs={EPOCHS}", "--set", "training.patience=99")
    both = [Command(nmt, news, *arguments) for _ in range(2)]
    try:
        with news:
            news.wait_for(lambda: any(each.follows or each.lines[-1:] == ["the end"] for each in both))
        second, first = sorted(both, key=lambda each: not each.follows)
        assert second.follows, first.text + second.text
        first.process.send_signal(signal.SIGKILL)
        assert first.end() == -signal.SIGKILL
        assert second.end() == 0, second.text
    finally:
        for each in both:
            each.process.kill()
    assert "that process has ended before it was done: this one goes on" in second.text
    assert second.epochs == list(range(1, EPOCHS + 1)), "those of both, each once"
    assert first.epochs == second.epochs[: len(first.epochs)]
    (run, *others) = runs(tmp_path)
    assert not others, "one training, one run"
    client = MlflowClient(f"sqlite:///{tmp_path / '.nmt' / 'mlflow.db'}")
    for key in ("train/loss", "validation/bleu"):
        steps = [metric.step for metric in client.get_metric_history(run, key)]
        assert len(set(steps)) == len(steps), key
    assert len(steps) == EPOCHS
    assert list((tmp_path / ".nmt" / "ray").iterdir()) == [], "what served to continue is cleared"
    told: subprocess.CompletedProcess[str] = nmt.run("runs", "--json")
    (training,) = json.loads(told.stdout)["trainings"]
    assert (training["state"], training["name"], training["epoch"]) == ("finished", "captions", EPOCHS)


def runs(folder: Path) -> list[str]:
    """Return the MLflow runs of a folder's home."""
    client = MlflowClient(f"sqlite:///{folder / '.nmt' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("nmt")
    assert experiment is not None
    return [str(run.info.run_id) for run in client.search_runs([experiment.experiment_id])]
