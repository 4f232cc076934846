"""The programs that READMEs show run on a registered model."""

import re
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from tests.commands import split_commands
from tests.flows.conftest import FinishedRun
from tests.readmes import PYTHON, SHELL, readmes

BLOCKS = [code for readme in readmes() for code in readme.codes(PYTHON) if "import mlflow" in code]
ONE_LINERS = [
    words[2]
    for readme in readmes()
    for code in readme.codes(SHELL)
    for words in split_commands(code)
    if words[:2] == ["python", "-c"] and "import mlflow" in words[2]
]
PROGRAMS = [*BLOCKS, *ONE_LINERS]
assert BLOCKS
assert ONE_LINERS


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_runs(finished_run: FinishedRun, number: int) -> None:
    here = PROGRAMS[number].replace("/path/to/.nmt", str(finished_run.home))
    mine = re.sub(r"models:/[\w-]+", "models:/captions", here)
    run = subprocess.run(
        [sys.executable, "-c", mine],
        cwd=finished_run.nmt.folder,
        env=finished_run.nmt.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    champion = MlflowClient(finished_run.tracking_uri).get_model_version_by_alias("captions", "champion")
    assert str(champion.version) == "1"
