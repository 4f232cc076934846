"""A first command that is stopped in its first seconds: the next one finds a home in order, MLflow's and Prefect's.

The moments are random. NMT_KILLS_SEED repeats those of a failure, which names its seed; NMT_KILLS_ROUNDS says how many
commands are stopped. Half of the moments count from the start of the command, half from that of its first file: on a
slow machine, imports take all of the first seconds.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.prefect_database import prepare_prefect
from pipeline.registry.runs import open_experiment
from tests.conftest import CommandLine, command_line, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SEED = int(os.environ.get("NMT_KILLS_SEED") or time.time())
ROUNDS = int(os.environ.get("NMT_KILLS_ROUNDS", "6"))
SECONDS = 2.0
COMMANDS = {"ui": ".nmt", "evaluate": "prefect"}
"""The first use of MLflow's database, and of Prefect's; the folders that these are in."""
USE_PREFECT = "from flows.server import start_temporary_server; start_temporary_server()()"


def stop(nmt: CommandLine, name: str, number: signal.Signals, delay: float, from_first_file: bool) -> str:
    """Start a first command, stop it as a terminal or a scheduler does, and return its last words."""
    arguments = ("ui", "--port", str(free_port())) if name == "ui" else ("evaluate", "no-such-model")
    with nmt.start(*arguments) as process:
        while from_first_file and process.poll() is None and not any((nmt.folder / COMMANDS[name]).glob("*")):
            time.sleep(0.01)
        time.sleep(delay)
        if process.poll() is None:
            if number == signal.SIGKILL:
                process.kill()
            else:
                os.killpg(process.pid, number)
        _, messages = process.communicate()
    return messages.strip().splitlines()[-1] if messages.strip() else ""


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_first_command_that_is_stopped_breaks_nothing(
    turn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nmt_home: Path
) -> None:
    chance = random.Random(f"{SEED} {turn}")
    name, number = list(COMMANDS)[turn % 2], chance.choice([signal.SIGINT, signal.SIGKILL])
    delay, from_first_file = chance.uniform(0, SECONDS), chance.random() < 0.5
    nmt = command_line(tmp_path)
    said = stop(nmt, name, number, delay, from_first_file)
    what = f"NMT_KILLS_SEED={SEED}: nmt {name}, {number.name} after {delay:.2f} s" + " of its files" * from_first_file
    if name == "ui":
        monkeypatch.setenv("NMT_HOME", str(tmp_path / ".nmt"))
        client, experiment = open_experiment("nmt")
        assert {found.experiment_id for found in client.search_experiments()} == {"0", experiment}, what
    elif turn % 8 != 1:  # A server takes longer to start than its database to make.
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
        prepare_prefect(tmp_path / "prefect" / "prefect.db")
    else:
        again = subprocess.run(
            [sys.executable, "-c", USE_PREFECT], env=nmt.environment, capture_output=True, text=True, check=False
        )
        assert (again.returncode, again.stderr) == (0, ""), what
    logging.getLogger(__name__).info(f"{what}: {said}")
