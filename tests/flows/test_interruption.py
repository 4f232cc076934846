"""Ctrl-C in the middle of a training, from the command line, and the same command given again."""

import json
import os
import signal
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import CommandLine, command_line
from tests.flows.test_train import STAGES


def interrupt_after_an_epoch(nmt: CommandLine, *arguments: str) -> tuple[int, str]:
    """Start a run, press Ctrl-C after its first epoch; return its exit code and messages."""
    with nmt.start(*arguments, tiny=True) as process:
        assert process.stderr is not None
        messages = ""
        for line in process.stderr:
            messages += line
            if "epoch 1" in line:
                os.killpg(process.pid, signal.SIGINT)  # As a terminal does: every process of the command gets it.
    return process.returncode, messages


@pytest.mark.slow
def test_ctrl_c_in_the_middle_then_the_same_command_goes_on(tmp_path: Path) -> None:
    nmt = command_line(tmp_path).with_databases()
    arguments = ("train", "--json", "--set", "training.epochs=3", "--set", "corpus.captions_pairs=150")
    code, messages = interrupt_after_an_epoch(nmt, *arguments)
    assert code == 130
    assert messages.splitlines()[-1] == "nmt: stopped; run the same command again to continue"
    assert "Traceback" not in messages
    assert not (tmp_path / ".nmt" / "mlartifacts").exists(), "nothing is registered"
    run = nmt.run(*arguments, tiny=True)
    assert run.returncode == 0, run.stderr
    assert "epoch 1:" not in run.stderr
    assert "epoch 3:" in run.stderr
    result = json.loads(run.stdout)
    assert [result["stages"][stage]["reused"] for stage in STAGES] == [True, True, True, False, False, False]
    client = MlflowClient(result["tracking_uri"])
    experiment = client.get_experiment_by_name("nmt")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1
    history = client.get_metric_history(result["run_id"], "validation/bleu")
    assert len({metric.step for metric in history}) == len(history) == 3
