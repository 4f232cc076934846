"""A machine that dies in the middle of a run: the run is marked, and continues where it was when it is retried."""

import json
from pathlib import Path

import psutil
import pytest

from tests.infra.conftest import DEPLOY, Machine, tiny, wait_for


@pytest.mark.slow  # Prefect takes no heartbeats more often than every 30 seconds, and three must be missing.
def test_a_run_whose_machine_died_is_marked_and_goes_on_when_retried(machine: Machine) -> None:
    machine.ok("nmt", "up", *machine.port_options)
    machine.ok("prefect", *DEPLOY)
    overrides = tiny(**{"training.epochs": 12, "training.patience": 12})
    machine.ok("prefect", "deployment", "run", "train/captions", "-p", f"overrides={overrides}")
    records = machine.folder / "home/ray"
    wait_for(
        "two epochs", lambda: any(text.count('"bleu"') > 1 for text in map(Path.read_text, records.glob("*.jsonl")))
    )
    worker = psutil.Process(machine.stack()["running"]["worker"]["pid"])
    killed = [worker, *worker.children(recursive=True)]
    for process in killed:
        process.kill()
    (status,) = (row for row in json.loads(machine.run("nmt", "status", "--json").stdout) if row["name"] == "worker")
    assert status["state"] == "has ended"
    epochs = max(text.count('"bleu"') for text in map(Path.read_text, records.glob("*.jsonl")))

    up = machine.ok("nmt", "up", *machine.port_options)
    assert up.count("already running") == 3
    wait_for("the mark", lambda: machine.runs()[0]["state_name"] == "Crashed", 240)
    run = machine.runs()[0]["id"]
    machine.ok("prefect", "flow-run", "retry", run)
    wait_for("the end", lambda: machine.runs()[0]["state_name"] == "Completed", 240)
    manifest = json.loads(next((machine.folder / "home/store/training").glob("*/manifest.json")).read_text("utf8"))
    assert manifest["figures"]["epochs"] == 12
    assert epochs < 12
    told = (machine.folder / "home/stack/logs/worker.log").read_text("utf8")
    assert told.count("training     epoch 1:") == 1, "what was done is not done again"
