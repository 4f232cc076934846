"""Output in any encoding, onto full disks and into closed pipes: whole, or one line and exit code 2."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import CommandLine, command_line
from tests.flows.conftest import FinishedRun

GERMAN = "Ein Hund läuft über die Straße."


def run(nmt: CommandLine, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command with streams of the test's own."""
    options = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | options
    found: Any = subprocess.run(nmt.command(*arguments), cwd=nmt.folder, env=nmt.environment, check=False, **options)
    return cast("subprocess.CompletedProcess[bytes]", found)


def close(*descriptors: int) -> Callable[[], None]:
    """Return what makes a process start without these, as `>&-` in a shell does."""

    def before() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return before


@pytest.mark.parametrize("arguments", [("presets",), ("--help",), ("train", "--help")])
def test_a_full_disk_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        found = run(command_line(tmp_path), *arguments, stdout=full)
    assert found.returncode == 2
    (message,) = found.stderr.decode().splitlines()
    assert message.startswith("nmt: ")
    assert "No space left on device" in message


def test_a_standard_output_that_is_closed_is_refused_before_a_training(tmp_path: Path) -> None:
    found = run(command_line(tmp_path), "train", preexec_fn=close(1), stdout=None)
    message = b"nmt: standard output is closed; send it to a file, or to /dev/null\n"
    assert (found.returncode, found.stderr) == (2, message)
    assert list(tmp_path.iterdir()) == []


def test_other_streams_that_are_closed(tmp_path: Path) -> None:
    found = run(command_line(tmp_path), "presets", preexec_fn=close(0, 2))
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"captions" in found.stdout
    found = run(command_line(tmp_path), "translate", preexec_fn=close(0))
    assert (found.returncode, found.stderr) == (2, b"nmt: standard input is closed; name a FILE to translate\n")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = run(command_line(tmp_path), "presets", "--fields", stdout=writing)
    os.close(writing)
    assert (found.returncode, found.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_translations_are_utf8_in_any_locale(finished_run: FinishedRun, tmp_path: Path, encoding: str) -> None:
    def translate(**environment: str) -> bytes:
        nmt = replace(finished_run.nmt, environment=finished_run.nmt.environment | environment)
        (tmp_path / "in.de").write_text(f"{GERMAN}\n", "utf8")
        with (tmp_path / "in.de").open("rb") as source:
            found = run(nmt, "translate", "--json", stdin=source)
        assert found.returncode == 0, found.stderr
        return found.stdout

    translated = translate(PYTHONIOENCODING=encoding)
    assert json.loads(translated.decode("utf8"))["source"] == GERMAN
    assert translated == translate()


def test_messages_are_escaped_where_the_locale_lacks_a_character(
    finished_run: FinishedRun, prefect_server: str
) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PREFECT_API_URL": prefect_server}
    nmt = replace(finished_run.nmt, environment=finished_run.nmt.environment | environment)
    found = nmt.run("train", "--set", "training.epochs=6", tiny=True)
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    assert "model models:/captions/" in found.stdout
    assert found.stdout.isascii()
    assert r"de \u2192 en" in found.stderr, "the languages of the corpus"
    assert found.stdout.isascii()


def test_json_of_any_locale_is_json(finished_run: FinishedRun, prefect_server: str, tmp_path: Path) -> None:
    (tmp_path / "prüfung.tsv").write_text(f"de\ten\n{GERMAN}\tA dog runs across the street.\n", "utf8")
    environment = {"PYTHONIOENCODING": "cp1252", "PREFECT_API_URL": prefect_server}
    nmt = replace(finished_run.nmt, environment=finished_run.nmt.environment | environment)
    found = run(nmt, "evaluate", "captions", "--json", "--set", f"corpus.path={tmp_path / 'prüfung.tsv'}")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.decode("utf8"))["scored_on"] == "On prüfung.tsv."


def test_a_command_that_is_done_ends_though_a_thread_does_not() -> None:
    """Prefect's threads try for minutes to reach a server that is gone."""
    program = """
import sys, threading, time
import flows.commands.app, flows.commands.__main__ as command
def done():
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("done")
    sys.exit(3)
command.LAST_SECONDS, flows.commands.app.app = 0.1, done
command.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout) == (3, "done\n")
