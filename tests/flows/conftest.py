import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import CommandLine, command_line


@dataclass(frozen=True)
class FinishedRun:
    """A run of seconds through the whole chain, and what it said."""

    nmt: CommandLine
    result: dict[str, Any]
    messages: str

    @property
    def tracking_uri(self) -> str:
        return str(self.result["tracking_uri"])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    nmt = command_line(tmp_path_factory.mktemp("run"))
    run = nmt.run("train", "--json", "--set", "training.epochs=6", tiny=True)
    assert run.returncode == 0, run.stderr
    return FinishedRun(nmt, json.loads(run.stdout), run.stderr)
