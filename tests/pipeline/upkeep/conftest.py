"""A home with trainings in every state; two versions of a model with all that they were made from; nothing trains."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipeline.store.artifact_folder import lock_of
from pipeline.training.runs.run_record import RunRecord, run_name
from tests.untrained_chain import Made, make_version, own_home

COMMAND = ("nmt", "train", "--preset", "captions", "--set", "training.epochs=3")
ENCODED = "e" * 64
STEP = {"step": 4, "epoch": 2.0, "done": 0.5, "loss": 1.0}
LINES = [{"step": 3, "epoch": 1.5, "done": 0.4}, {"step": 3, "epoch": 1.5, "bleu": 12.5}, STEP]
"""The records of a training that has stopped in the middle."""


class Home:
    """Makes what trainings leave in a home, or in a storage that machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held = ExitStack()

    def stopped(self, fingerprint: str, ray: Path | None = None, lines: Any = LINES, **record: Any) -> Path:
        """A training that has a record, the figures of steps, and a folder; return where they are."""
        ray = ray or self.folder / "ray"
        name = run_name(fingerprint)
        (ray / name).mkdir(parents=True)
        (ray / name / "weights").write_bytes(b"x" * 1000)
        (ray / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        given = {"name": "captions", "experiment": "nmt", "inputs": {"encoded": ENCODED}, "command": COMMAND}
        RunRecord(fingerprint, **(given | record)).write(ray)
        self.output("encoded", ENCODED, {})
        return ray

    def output(self, stage: str, fingerprint: str, figures: dict[str, Any]) -> None:
        folder = self.folder / "store" / stage / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"fingerprint": fingerprint, "created": "2026-11-30T12:00:00+00:00", "files": {}, "figures": figures}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def finished(self, fingerprint: str) -> None:
        self.output("training", fingerprint, {"name": "captions", "steps": 9, "epochs": 3, "best_bleu": 50.0})

    def running(self, fingerprint: str) -> None:
        """Hold the lock of a training, as a process does that makes it."""
        folder = self.folder / "store" / "training" / fingerprint
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.held.enter_context(FileLock(lock_of(folder)))


@pytest.fixture
def home(nmt_home: Path) -> Any:
    made = Home(nmt_home)
    with made.held:
        yield made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Version 1 of `captions`, in a home that the tests of a file share: what they damage, they mend."""
    with own_home(tmp_path_factory.mktemp("made") / "home"):
        yield make_version()


@pytest.fixture(scope="module")
def other(made: Made) -> Made:
    """Version 2, of the same rows with another seed."""
    return make_version(training__seed=2)
