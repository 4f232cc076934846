"""What tests of several stages share: a home of their own, and a run small enough for seconds."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.config import RunConfig, build_config

TINY = {
    "corpus.captions_pairs": 300,
    "corpus.validation_size": 40,
    "corpus.test_size": 30,
    "tokenizer.vocabulary_size": 300,
    "batching.tokens": 1024,
    "model.embedding_size": 24,
    "model.encoder_size": 16,
    "model.decoder_size": 24,
    "model.dropout": 0.1,
    "training.epochs": 2,
    "training.learning_rate": 0.01,
    "training.warmup_steps": 10,
    "training.log_every": 1,
    "evaluation.beam": 2,
}
SERVERS = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "PREFECT_API_URL")


@pytest.fixture
def tiny() -> RunConfig:
    return build_config({"name": "tiny"}, TINY)


@pytest.fixture
def nmt_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh $NMT_HOME, and no server or cluster from the user's environment."""
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NMT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@dataclass(frozen=True)
class CommandLine:
    """The command `nmt` in a process and a folder of its own, as its users call it."""

    folder: Path
    environment: dict[str, str]

    def command(self, *arguments: str, tiny: bool = False) -> Sequence[str]:
        overrides = [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")] if tiny else []
        return [str(Path(sys.executable).with_name("nmt")), *arguments[:1], *overrides, *arguments[1:]]

    def run(self, *arguments: str, tiny: bool = False, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end; `tiny` puts the overrides of a run of seconds before the other options."""
        return subprocess.run(
            self.command(*arguments, tiny=tiny),
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str, tiny: bool = False) -> subprocess.Popen[str]:
        """Start in the background, in a process group of its own, with its messages in a pipe."""
        return subprocess.Popen(
            self.command(*arguments, tiny=tiny),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def command_line(folder: Path, **environment: str) -> CommandLine:
    """Return a command line that works in `folder`, with its home and Prefect's there."""
    inherited = {name: value for name, value in os.environ.items() if name not in (*SERVERS, "NMT_HOME")}
    return CommandLine(folder, inherited | {"PREFECT_HOME": str(folder / "prefect")} | environment)
