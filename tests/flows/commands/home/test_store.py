"""`nmt store ls` and `nmt store gc`: a table, a total, and nothing removed without --yes."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.commands.app import app
from pipeline.store.stages import Settings, Stage
from pipeline.store.storage import home as nmt_home_folder
from pipeline.store.store import Store
from tests.flows.conftest import FinishedRun
from tests.untrained_chain import edit_manifest

STAGES = ["corpus", "tokenizer", "encoded", "training", "evaluation"]


def nmt_store(*options: str, columns: int = 120) -> Result:
    return CliRunner().invoke(app, ["store", *options], env={"COLUMNS": str(columns)})


def of_run(run: FinishedRun) -> set[str]:
    """Return the artifacts that the run of version 1 left, by what they are stored under."""
    names = {run.result["stages"][stage]["fingerprint"] for stage in STAGES[1:]}
    return names | {path.name for path in (run.home / "store" / "corpus").iterdir() if "." not in path.name}


@pytest.fixture
def copied(finished_run: FinishedRun, nmt_home: Path) -> Path:
    """A copy of the run's home, in which things may go; its files in MLflow stay where they are."""
    shutil.copytree(finished_run.home, nmt_home, ignore=shutil.ignore_patterns("*.lock", "mlartifacts", "ray"))
    for folder in nmt_home.glob("store/*/*"):
        if "." not in folder.name:
            edit_manifest(folder, "created", value="2020-01-01T00:00:00+00:00")
            os.utime(folder, (0, 0))
    return nmt_home


def add_unneeded() -> Path:
    """Make an output that nobody needs, long ago."""

    def build(folder: Path) -> dict[str, int]:
        (folder / "source.model").write_bytes(bytes(5000))
        return {"source_pieces": 9}

    made = Store().produce(
        Stage("tokenizer", Settings({"kind": "bpe", "vocabulary_size": 9}), {"corpus": "f" * 64}), build
    )
    edit_manifest(made.path, "created", value="2020-01-01T00:00:00+00:00")
    os.utime(made.path, (0, 0))
    return made.path


def test_every_output_is_listed_with_who_needs_it(finished_run: FinishedRun, copied: Path) -> None:
    shown = nmt_store("ls")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["stage", "id", "size", "made", "from", "needed", "by"]
    needed = [line for line in lines if line.endswith("  captions/1")]
    names = {name[:8] for name in of_run(finished_run)}
    assert names <= {line.split()[1] for line in lines if len(line.split()) > 2}
    assert {finished_run.result["stages"][stage]["fingerprint"][:8] for stage in STAGES[1:]} <= {
        line.split()[1] for line in needed
    }
    assert [line.split()[0] for line in needed][:5] == STAGES
    assert "on this machine" in lines[-2]
    assert lines[-1] == f"needed as sqlite:///{nmt_home_folder() / 'mlflow.db'} says"


def test_json_has_the_same(finished_run: FinishedRun, copied: Path) -> None:
    told = json.loads(nmt_store("ls", "--json").stdout)
    by_name = {artifact["fingerprint"]: artifact for artifact in told["artifacts"]}
    training = by_name[finished_run.result["stages"]["training"]["fingerprint"]]
    assert training["needed_by"] == ["captions/1"]
    assert training["inputs"] == {"encoded": finished_run.result["stages"]["encoded"]["fingerprint"]}
    assert training["in_storage"] is False
    assert told["bytes"] == sum(artifact["bytes"] for artifact in told["artifacts"])
    assert told["storage"] is None


def test_gc_shows_and_removes_on_request_what_nobody_needs(finished_run: FinishedRun, copied: Path) -> None:
    unneeded = add_unneeded()
    shown = nmt_store("gc")
    assert shown.exit_code == 0, shown.output
    (line,) = (line for line in shown.stdout.splitlines() if unneeded.name[:8] in line)
    assert line.endswith("  nobody")
    assert "what registered models were made from" in shown.stderr
    assert "nmt: `nmt store gc --yes` removes " in shown.stderr
    assert unneeded.exists()
    removed = nmt_store("gc", "--yes")
    assert removed.exit_code == 0, removed.output
    assert not unneeded.exists()
    left = {path.name for path in copied.glob("store/*/*") if path.is_dir() and "." not in path.name}
    assert of_run(finished_run) <= left
    assert nmt_store("gc", "--yes").stderr.splitlines()[-1] == "nmt: there is nothing to remove"


def test_all_removes_what_models_were_made_from_too(copied: Path) -> None:
    assert "`nmt store gc --all --yes` removes" in nmt_store("gc", "--all").stderr
    told = json.loads(nmt_store("gc", "--all", "--yes", "--json").stdout)
    assert told["removed"] is True
    assert {artifact["stage"] for artifact in told["artifacts"]} >= set(STAGES)
    assert nmt_store("ls").stderr == "nmt: the store is empty\n"
    verified = CliRunner().invoke(app, ["verify", "captions"])
    assert verified.exit_code == 1
    assert verified.stdout.count("  missing\n") == 5
    assert "Traceback" not in verified.output


def test_gc_removes_nothing_when_nobody_can_say_what_is_needed(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(copied.rglob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for options in (("gc", "--yes"), ("gc", "--all", "--yes"), ("ls",)):
        refused = nmt_store(*options)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "no server answers there" in refused.stderr
        assert refused.stderr.count("\n") == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copied}/no-such.db")
    refused = nmt_store("gc", "--yes")
    assert refused.exit_code == 2
    assert "there is no database" in refused.stderr
    assert [path for path in sorted(copied.rglob("*")) if path.suffix != ".lock"] == [
        path for path in before if path.suffix != ".lock"
    ]


def test_an_empty_home_stays_empty(nmt_home: Path) -> None:
    assert nmt_store("ls").stderr == "nmt: the store is empty\n"
    assert nmt_store("gc", "--yes").stderr == "nmt: there is nothing to remove\n"
    assert not nmt_home.exists()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_is_wide_enough(copied: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    for options in (["store", "ls"], ["store", "gc", "--all"], ["verify", "captions"]):
        shown = CliRunner().invoke(app, options, env={"COLUMNS": str(columns)})
        assert shown.exit_code == (options[0] == "verify"), "the manifests of the copy are another day's"
        lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.stdout).splitlines()
        whole = ("  nmt ", f"needed as sqlite:///{copied}")  # To be copied in one piece.
        long = [line for line in lines if len(line) > columns and not line.startswith(whole)]
        assert not [line for line in long if str(copied) not in line], "what is no path"
