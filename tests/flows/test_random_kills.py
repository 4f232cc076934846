"""Any process of a training killed at any moment: nothing is left behind, and the same command finishes the same model.

The moments are random. NMT_KILLS_SEED repeats those of a failure, which names its seed; NMT_KILLS_ROUNDS kills every
kind of process more often than once.
"""

import hashlib
import json
import logging
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import CommandLine, command_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
KINDS = {
    "driver": "nmt train",
    "server": "flows.server_process",
    "cluster": "gcs_server",
    "node": "raylet/raylet",
    "controller": "ray::TrainController",
    "worker": "ray::RayTrainWorker",
}
"""Kinds of processes, by a part of their command lines."""

SEED = int(os.environ.get("NMT_KILLS_SEED") or time.time())
ROUNDS = int(os.environ.get("NMT_KILLS_ROUNDS", "1"))
GONE_SECONDS = 20
COMMAND = ("train", "--json", "--set", "corpus.captions_pairs=150")
LEARNING = ("loss", "perplexity", "learning_rate", "gradient_norm", "train_loss", "validation_loss", "bleu")
SAME = ("epoch", "step", *LEARNING)
"""What a history holds beside times."""


@dataclass
class Run:
    """A run of the command in the background."""

    nmt: CommandLine
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each kind of process was first and last there, in seconds from the start."""

    def __post_init__(self) -> None:
        self.nmt.folder.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with self._messages.open("w") as messages:
            self.process = subprocess.Popen(
                self.nmt.command(*COMMAND, tiny=True),
                cwd=self.nmt.folder,
                env=self.nmt.environment,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                start_new_session=True,
            )

    @property
    def _messages(self) -> Path:
        return self.nmt.folder / "messages"

    @property
    def messages(self) -> str:
        return self._messages.read_text()

    def watch(self) -> Iterator[dict[str, psutil.Process]]:
        """Yield what runs, by kind, again and again until the command ends."""
        while self.process.poll() is None:
            now = time.monotonic() - self._began
            running: dict[str, psutil.Process] = {}
            with suppress(psutil.Error):
                driver = psutil.Process(self.process.pid)
                for process in (driver, *driver.children(recursive=True)):
                    with suppress(psutil.Error):
                        line = " ".join(process.cmdline())
                        running |= {kind: process for kind, part in KINDS.items() if part in line}
            for kind in running:
                self.seen[kind] = (self.seen.get(kind, (now,))[0], now)
            yield running
            time.sleep(0.2)

    def kill(self, kind: str, delay: float) -> float | None:
        """Kill a process some seconds after its kind is there; return when, or None if the run was over by then."""
        for running in self.watch():
            if kind in running and self.seen[kind][1] - self.seen[kind][0] >= delay:
                running[kind].kill()
                killed = time.monotonic() - self._began
                self.process.wait()
                return killed
        return None

    def left(self) -> list[psutil.Process]:
        """Return all its processes, found by the home in their environment."""
        home = self.nmt.environment["PREFECT_HOME"]
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("PREFECT_HOME") == home:
                    found.append(process)
        return found

    def seconds_until_gone(self) -> float:
        """Wait until all processes have ended, and return how long that was."""
        ended = time.monotonic()
        while left := self.left():
            assert time.monotonic() - ended < GONE_SECONDS, [process.cmdline() for process in left]
            time.sleep(0.2)
        return time.monotonic() - ended


def trained(folder: Path) -> dict[str, object]:
    """Return what a finished training in a folder is: the bytes of its weights, and its history without times."""
    (made,) = (folder / ".nmt" / "store" / "training").glob("*/manifest.json")
    weights = {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in made.parent.glob("checkpoints/*/model.safetensors")
    }
    rows = [json.loads(row) for row in (made.parent / "history.jsonl").read_text().splitlines()]
    return {"weights": weights, "history": [{key: row[key] for key in SAME if key in row} for row in rows]}


@dataclass(frozen=True)
class Uninterrupted:
    """What a training is to come to, and how long each kind of process was there."""

    trained: Mapping[str, object]
    seconds: Mapping[str, float]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    run = Run(command_line(tmp_path_factory.mktemp("uninterrupted")))
    for _ in run.watch():
        pass
    assert run.process.returncode == 0, run.messages
    assert set(run.seen) == set(KINDS)
    return Uninterrupted(trained(run.nmt.folder), {kind: last - first for kind, (first, last) in run.seen.items()})


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_leaves_nothing_behind_and_the_same_command_finishes_the_same_model(
    uninterrupted: Uninterrupted, kind: str, turn: int, tmp_path: Path
) -> None:
    delay = random.Random(f"{SEED} {kind} {turn}").uniform(0, uninterrupted.seconds[kind])
    run = Run(command_line(tmp_path / "0"))
    while (killed := run.kill(kind, delay)) is None:  # The machine has become faster, and the run was over.
        delay /= 2
        run = Run(command_line(tmp_path / f"{delay}"))
    code, messages = run.process.returncode, run.messages
    last = messages.splitlines()[-1] if messages else ""
    what = (
        f"NMT_KILLS_SEED={SEED}: {kind} killed after {killed:.1f} s, {delay:.1f} s of its own; exit code {code}: {last}"
    )
    assert "Traceback" not in messages, f"{what}\n{messages}"
    if kind == "driver":
        assert code == -9, what
    elif kind in ("cluster", "node") and code == 1:
        # During `ray.init`, Ray's C++ ends the process if it cannot connect; nothing of ours can intervene.
        assert re.match(r"\[.* E \d+ \d+\] \w+\.(cc|h):\d+: Failed to ", last), what
    else:
        assert code in (0, 2), what
        assert code == 0 or last.startswith("nmt: "), what
    gone = run.seconds_until_gone()
    again = run.nmt.run(*COMMAND, tiny=True)
    assert again.returncode == 0, f"{what}\n{again.stderr}"
    assert "Traceback" not in again.stderr, f"{what}\n{again.stderr}"
    assert trained(run.nmt.folder) == uninterrupted.trained, what
    assert_one_finished_run(json.loads(again.stdout))
    logging.getLogger(__name__).info(f"{what} (all gone after {gone:.1f} s, the same model)")


def assert_one_finished_run(result: Mapping[str, str]) -> None:
    """MLflow has one run of the training, which is finished and has every figure once."""
    client = MlflowClient(result["tracking_uri"])
    experiment = client.get_experiment_by_name("nmt")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_id, found.info.status) == (result["run_id"], "FINISHED")
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "train/loss")]
    assert steps
    assert sorted(set(steps)) == sorted(steps)
