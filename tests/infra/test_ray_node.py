"""A program beside a Ray node of its own: both end together, and the program first."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

# Stands for `ray start --block`: it says what it was called with, and when it was told to end.
NODE = """#!/bin/bash
echo "node $*" >> "$LOG"
trap 'echo "node ended" >> "$LOG"; exit 0' TERM
[ -z "$FAILS" ] || exit 3
while true; do sleep 0.05; done
"""
PROGRAM = """
import os, signal, sys, time
log = lambda text: print(text, file=open(os.environ["LOG"], "a"))
def end(*_):
    time.sleep(0.3)
    log("program ended")
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
log("program")
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


def start(folder: Path, program: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    (folder / "ray").write_text(NODE)
    (folder / "ray").chmod(0o755)
    return subprocess.Popen(
        [sys.executable, "-m", "infra.ray_node", *program],
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "RAY_ADDRESS": "head:6379",
            "LOG": str(folder / "log"),
            "FAILS": "",
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def said(folder: Path) -> list[str]:
    try:
        return (folder / "log").read_text().splitlines()
    except FileNotFoundError:
        return []


@pytest.mark.parametrize("code", [0, 5])
def test_the_node_ends_with_the_program_whose_exit_code_is_kept(tmp_path: Path, code: int) -> None:
    with start(tmp_path, [sys.executable, "-c", PROGRAM, "0.5", str(code)]) as process:
        assert process.wait(30) == code
    assert "program" in said(tmp_path)
    assert said(tmp_path)[-1] == "node ended"
    (called,) = [line for line in said(tmp_path) if line.startswith("node start")]
    assert {"--address=head:6379", "--num-cpus=0", "--num-gpus=0", "--block"} <= set(called.split())


def test_the_program_ends_with_the_node_and_says_why(tmp_path: Path) -> None:
    with start(tmp_path, [sys.executable, "-c", PROGRAM, "60", "0"], FAILS="yes") as process:
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert f"the Ray node has ended with exit code 3; ending {sys.executable} too" in process.stderr.read()


def test_told_to_end_the_program_still_has_its_node(tmp_path: Path) -> None:
    with start(tmp_path, [sys.executable, "-c", PROGRAM, "60", "0"]) as process:
        for _ in range(300):
            if "program" in said(tmp_path):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
    assert said(tmp_path)[-2:] == ["program ended", "node ended"]


@pytest.mark.parametrize("environment", [{"RAY_ADDRESS": ""}, {}], ids=["no address", "no program"])
def test_what_it_must_be_told(tmp_path: Path, environment: dict[str, str]) -> None:
    program = ["true"] if environment else []
    with start(tmp_path, program, **environment) as process:
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert "usage: RAY_ADDRESS=host:port" in process.stderr.read()
    assert said(tmp_path) == []
