"""Kills a training of two workers again and again, at random moments, and measures what each kill costs.

Any of its processes may be the one: the command, its Prefect server, Ray's, the controller of the training, a worker.
A command that has ended is given again. In the end there must be the weights of a training that nobody has disturbed,
one MLflow run without a gap or a double, no process, no file, and no traceback.
"""

import argparse
import hashlib
import json
import random
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from mlflow.tracking import MlflowClient
from rich.console import Console
from rich.table import Table

from tests.conftest import CommandLine, command_line

KINDS = {
    "command": "nmt train",
    "server": "flows.server_process",
    "cluster": "gcs_server",
    "node": "raylet/raylet",
    "controller": "ray::TrainController",
    "worker": "ray::RayTrainWorker",
}
"""Kinds of processes, by a part of their command lines."""
COMMAND = (
    *("train", "--json", "--set", "corpus.captions_pairs=150", "--set", "training.num_workers=2"),
    *("--set", "training.save_every=20 updates", "--set", "training.max_failures=1000"),
    *("--set", "training.patience=1000", "--set", "training.validate_every=150 updates"),
)
LEARNING = ("loss", "perplexity", "learning_rate", "gradient_norm", "train_loss", "validation_loss", "bleu")
SAME = ("epoch", "step", *LEARNING)
"""What a history holds beside times."""
STOPPED = 75
GONE_SECONDS = 20.0


@dataclass(frozen=True)
class Kill:
    """One kill, and what it cost."""

    kind: str
    lost: int | None
    """Steps since the last checkpoint; None before the first step."""
    seconds: float | None
    """From the kill to the first step that had not been taken before; None if none came before the next kill."""


@dataclass
class Chaos:
    """A training in a folder, and what is done to it."""

    nmt: CommandLine
    steps: int
    seed: int = 0
    kills: list[Kill] = field(default_factory=list)
    messages: str = ""
    """Of all commands."""

    @property
    def _arguments(self) -> tuple[str, ...]:
        return (*COMMAND, "--set", f"training.until={self.steps} updates")

    def undisturbed(self) -> None:
        """Run the command, and give it again only where it says so: a machine may be too busy for Ray to start."""
        while True:
            with self._started() as process:
                process.wait()
            assert process.returncode in (0, 2), self.messages
            if process.returncode == 0:
                break

    def disturbed(self, kills: int, longest: float = 6.0) -> None:
        """Run the command, kill one of its processes so many times, and give it again until it has ended well.

        A process is killed at most `longest` seconds after it is there.
        """
        draw, process = random.Random(self.seed), None
        kinds = [kind for _ in range(-(-kills // len(KINDS))) for kind in draw.sample([*KINDS], len(KINDS))][:kills]
        while kinds or process is None:
            with self._started() as process:
                while kinds and process.poll() is None:
                    if not self._kill(process, kinds[0], draw.uniform(0.0, longest)):
                        break
                    kinds.pop(0)
                process.wait()
            assert process.returncode in (0, 1, 2, -signal.SIGKILL), self.messages
            assert process.returncode != 0 or not kinds, "the training was too short for so many kills"
        if process.returncode != 0:
            self.undisturbed()

    def stopped(self, stops: int) -> list[float]:
        """Run the command, send SIGTERM seconds after its first step, so many times; return how long it took."""
        draw, taken = random.Random(self.seed), list[float]()
        while len(taken) < stops:
            with self._started() as process:
                before = self.last_step()
                while process.poll() is None and self.last_step() <= before:
                    time.sleep(0.05)
                if process.poll() == 2:  # Ray did not start.
                    continue
                time.sleep(draw.uniform(0.0, 3.0))
                began = time.monotonic()
                process.terminate()
                while process.poll() is None and not self._saved_since(began):
                    time.sleep(0.02)
                taken.append(time.monotonic() - began)
                process.wait()
            assert process.returncode == STOPPED, self.messages
        return taken

    def _saved_since(self, began: float) -> bool:
        return any(time.time() - path.stat().st_mtime < time.monotonic() - began for path in self._checkpoints())

    def _started(self) -> "_Command":
        return _Command(self)

    def _kill(self, process: subprocess.Popen[bytes], kind: str, delay: float) -> bool:
        """Kill a process of a kind some seconds after it is there; return whether there was one."""
        found = None
        while process.poll() is None and (found := self._find(process, kind)) is None:
            time.sleep(0.1)
        time.sleep(delay)
        if found is None or not found.is_running() or process.poll() is not None:
            return False
        reached, saved = self.last_step(), self._saved_step()
        began = time.monotonic()
        with suppress(psutil.NoSuchProcess):
            found.kill()
        if kind == "command":
            process.wait()
        lost = None if reached == 0 else reached - saved
        self.kills.append(Kill(kind, lost, self._seconds_to_next_step(process, reached, began)))
        return True

    def _seconds_to_next_step(self, process: subprocess.Popen[bytes], reached: int, began: float) -> float | None:
        """Wait until the training goes on, where the command still runs."""
        while process.poll() is None:
            if self.last_step() > reached:
                return time.monotonic() - began
            time.sleep(0.05)
        return None

    def _find(self, process: subprocess.Popen[bytes], kind: str) -> psutil.Process | None:
        with suppress(psutil.Error):
            command = psutil.Process(process.pid)
            for each in (command, *command.children(recursive=True)):
                with suppress(psutil.Error):
                    if KINDS[kind] in " ".join(each.cmdline()):
                        return each
        return None

    @property
    def _ray(self) -> Path:
        return self.nmt.folder / ".nmt" / "ray"

    def last_step(self) -> int:
        """Return the last step that was reported."""
        steps = [0]
        for records in self._ray.glob("training-*.jsonl"):
            for row in records.read_text().splitlines()[-3:]:
                with suppress(ValueError):  # Cut short.
                    steps.append(int(json.loads(row)["step"]))
        return max(steps)

    def _checkpoints(self) -> list[Path]:
        return [*self._ray.glob("training-*/checkpoint_*/progress.json")]

    def _saved_step(self) -> int:
        saved = [0]
        for file in self._checkpoints():
            with suppress(OSError, ValueError):
                saved.append(int(json.loads(file.read_text())["step"]))
        return max(saved)

    def left(self) -> list[psutil.Process]:
        """Return all its processes, found by the home in their environment."""
        home, found = self.nmt.environment["PREFECT_HOME"], []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("PREFECT_HOME") == home:
                    found.append(process)
        return found

    def check_nothing_is_left(self) -> None:
        """Raise AssertionError if a process outlives the command, or a file the training."""
        ended = time.monotonic()
        while left := self.left():
            assert time.monotonic() - ended < GONE_SECONDS, [process.cmdline() for process in left]
            time.sleep(0.2)
        assert [*self._ray.iterdir()] == [], "what served to resume is cleared"
        store = self.nmt.folder / ".nmt" / "store"
        half = [path for path in store.glob("*/*") if not (path / "manifest.json").exists() and path.suffix != ".lock"]
        assert half == [], "nothing half-made is in the store"

    def trained(self) -> dict[str, object]:
        """Return what the training is: the bytes of its weights, and its history without times."""
        (made,) = (self.nmt.folder / ".nmt" / "store" / "training").glob("*/manifest.json")
        weights = {
            path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in made.parent.glob("checkpoints/*/model.safetensors")
        }
        rows = [json.loads(row) for row in (made.parent / "history.jsonl").read_text().splitlines()]
        return {"weights": weights, "history": [{key: row[key] for key in SAME if key in row} for row in rows]}

    def check_one_finished_run(self) -> None:
        """Raise AssertionError unless MLflow has one run, which is finished and has every step once."""
        client = MlflowClient(f"sqlite:///{self.nmt.folder / '.nmt' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("nmt")
        assert experiment is not None
        (found,) = client.search_runs([experiment.experiment_id])
        assert found.info.status == "FINISHED"
        for metric, expected in (
            ("train/loss", range(1, self.steps + 1)),
            ("validation/bleu", [*range(150, self.steps, 150), self.steps]),
        ):
            steps = sorted(each.step for each in client.get_metric_history(found.info.run_id, metric))
            assert steps == [*expected], metric

    def check(self, reference: Mapping[str, object]) -> None:
        """Raise AssertionError unless all is as if nobody had disturbed the training."""
        self.check_nothing_is_left()
        assert self.trained() == reference, "the same weights and history"
        self.check_one_finished_run()
        assert "Traceback" not in self.messages, self.messages


class _Command:
    """Runs the command as a context, and keeps its messages."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos

    def __enter__(self) -> subprocess.Popen[bytes]:
        chaos = self._chaos
        chaos.nmt.folder.mkdir(parents=True, exist_ok=True)
        self._file = chaos.nmt.folder / "messages"
        with self._file.open("w") as messages:
            self._process = subprocess.Popen(
                chaos.nmt.command(*chaos._arguments, tiny=True),
                cwd=chaos.nmt.folder,
                env=chaos.nmt.environment,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                start_new_session=True,
            )
        return self._process

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        # During `ray.init`, Ray's C++ ends the process if it cannot connect; nothing of ours can intervene.
        text = self._file.read_text()
        assert self._process.returncode != 1 or re.search(r"\[.* E \d+ \d+\] \w+\.(cc|h):\d+: Failed to ", text), text
        self._chaos.messages += text


def make_chaos(folder: Path, steps: int, seed: int = 0) -> Chaos:
    """Return a training in a new folder; its workers do not give way to others, so that times mean something."""
    # The database of Prefect's server is made once for all.
    prefect = str(folder.parent / "prefect")
    nmt = command_line(folder, RAY_worker_niceness="0", OMP_NUM_THREADS="1", PREFECT_HOME=prefect)
    return Chaos(nmt, steps, seed)


def summary(values: Sequence[float]) -> tuple[str, str, str]:
    """Return the number, the median and the largest of values."""
    if not values:
        return "0", "", ""
    return str(len(values)), f"{statistics.median(values):.1f}", f"{max(values):.1f}"


def rows(kills: Sequence[Kill], stops: Sequence[float]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the table."""
    for kind in KINDS:
        own = [kill for kill in kills if kill.kind == kind]
        yield (f"{kind} killed: steps lost", *summary([kill.lost for kill in own if kill.lost is not None]))
        if times := [kill.seconds for kill in own if kill.seconds is not None]:
            yield (f"{kind} killed: seconds to the next step", *summary(times))
    yield ("all kills: steps lost", *summary([kill.lost for kill in kills if kill.lost is not None]))
    yield ("SIGTERM: seconds to the checkpoint", *summary(stops))


def main() -> None:
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="kills in all (default: %(default)s)")
    parser.add_argument("--stops", type=int, default=8, help="times of SIGTERM (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3000, help="steps of the training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments (default: the time)")
    given = parser.parse_args()
    console = Console(width=max(100, Console().width))
    console.print(f"seed {given.seed}: {given.kills} kills, {given.stops} stops, {given.steps:,} steps")
    with TemporaryDirectory() as temporary:
        quiet = make_chaos(Path(temporary) / "undisturbed", given.steps)
        quiet.undisturbed()
        disturbed = make_chaos(Path(temporary) / "disturbed", given.steps, given.seed)
        stops = disturbed.stopped(given.stops)
        disturbed.disturbed(given.kills)
        disturbed.check(quiet.trained())
    table = Table("", "number", "median", "largest")
    for row in rows(disturbed.kills, stops):
        table.add_row(*row)
    console.print(table)
    console.print(
        "The weights and the history are those of the undisturbed training, to the byte. MLflow has one run, with "
        "every step once. No process, file or traceback is left."
    )


if __name__ == "__main__":
    main()
