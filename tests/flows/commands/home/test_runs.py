"""`nmt runs` as its users see it: a line per training in a pipe, a table on a terminal, one line of JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.commands.app import app
from tests.pipeline.upkeep.conftest import COMMAND, Home, home  # noqa: F401 - a fixture

A, B, C = (letter * 64 for letter in "abc")
PROGRAM = " ".join(COMMAND[1:])


def nmt_runs(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["runs", *options], env=environment)


def there(home: Home) -> list[Path]:  # noqa: F811
    return sorted((home.folder / "ray").iterdir())


@pytest.fixture
def three(home: Home) -> Home:  # noqa: F811
    """A home with a training that runs, one that has stopped and one that is finished."""
    home.finished(A)
    home.stopped(B)
    home.stopped(C)
    home.running(C)
    return home


def test_an_empty_home_gets_one_friendly_line(nmt_home: Path) -> None:
    shown = nmt_runs()
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == f"nmt: there are no trainings in {nmt_home} yet; `nmt train` begins one\n"
    assert not nmt_home.exists()


def test_in_a_pipe_there_is_a_line_for_each(three: Home) -> None:
    shown = nmt_runs()
    assert shown.exit_code == 0, shown.output
    running, stopped, finished = (re.split("  +", line) for line in shown.stdout.splitlines())
    assert [line[0] for line in (running, stopped, finished)] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]
    assert [line[2] for line in (running, stopped, finished)] == ["running", "stopped", "finished"]
    assert "step 4, epoch 2 (50%)" in stopped
    assert "12.50" in stopped
    assert stopped[-1].endswith(f" {PROGRAM}")
    assert not any(PROGRAM in cell for line in (running, finished) for cell in line)


def test_on_a_terminal_the_command_is_below_the_table_in_a_line_to_be_pasted(three: Home) -> None:
    shown = nmt_runs(FORCE_COLOR="1", COLUMNS="60")
    lines = shown.stdout.splitlines()
    assert any("name" in line and "progress" in line for line in lines)
    (command,) = (line for line in lines if PROGRAM in line)
    assert command.endswith(f" {PROGRAM}")
    assert lines[lines.index(command) - 1] == "bbbbbbbb is continued by"


def test_json_is_one_line(three: Home) -> None:
    (line,) = nmt_runs("--json").stdout.splitlines()
    found = json.loads(line)
    assert found["home"] == str(three.folder)
    assert [(each["id"], each["state"]) for each in found["trainings"]] == [
        ("cccccccc", "running"),
        ("bbbbbbbb", "stopped"),
        ("aaaaaaaa", "finished"),
    ]
    assert found["trainings"][1]["fingerprint"] == B
    assert {name: found["trainings"][1][name] for name in ("step", "epoch", "done", "bleu")} == {
        "step": 4,
        "epoch": 2.0,
        "done": 0.5,
        "bleu": 12.5,
    }


def test_some_alone(three: Home) -> None:
    found: dict[str, Any] = json.loads(nmt_runs("aaa", "bbb", "--json").stdout)
    assert [each["id"] for each in found["trainings"]] == ["bbbbbbbb", "aaaaaaaa"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["dddd"], "dddd: there is no such training; `nmt runs` lists all"),
        (["--clean", "dddd", "--yes"], "dddd: there is no such training; `nmt runs` lists all"),
        (["--clean", "cccc", "--yes"], "cccccccccccccccc: this training is running; stop it first"),
        (["--yes"], "--yes: it removes what --clean shows; add --clean"),
    ],
)
def test_what_is_wrong_gets_one_line(three: Home, options: list[str], message: str) -> None:
    before = sorted(three.folder.rglob("*"))
    refused = nmt_runs(*options)
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", f"nmt: {message}\n")
    assert sorted(three.folder.rglob("*")) == before


def test_only_with_yes_what_is_shown_is_removed(three: Home) -> None:
    assert "there is nothing to remove" in nmt_runs("--clean", "--yes").stderr
    three.finished(B)
    before = there(three)
    shown = nmt_runs("--clean")
    assert there(three) == before
    assert "`nmt runs --clean --yes` removes" in shown.stderr
    listed = [line.split()[2] for line in shown.stdout.splitlines()]
    removed = json.loads(nmt_runs("--clean", "--yes", "--json").stdout)["unneeded"]
    assert [file for each in removed for file in each["files"]] == listed
    assert [each["removed"] for each in removed] == [True]
    assert there(three) == [path for path in before if str(path) not in listed]
    assert there(three), "that of the training that runs"


def test_one_that_has_stopped_is_removed_when_it_is_named(three: Home) -> None:
    assert "`nmt runs --clean --yes bbbb` removes" in nmt_runs("--clean", "bbbb").stderr
    assert nmt_runs("--clean", "bbbb", "--yes").exit_code == 0
    assert [line.split()[0] for line in nmt_runs().stdout.splitlines()] == ["cccccccc", "aaaaaaaa"]
