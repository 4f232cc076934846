"""Runs a program beside a node of the Ray cluster at RAY_ADDRESS, so that it can use the cluster from a container.

    python -m infra.ray_node prefect worker start --pool nmt

A Ray driver finds its node among the processes of its own machine, and shares memory and sockets with it; the cluster's
address alone is of no use to it. The node offers no CPUs or GPUs, so no training runs on it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

OBJECT_STORE_BYTES = 256 * 2**20
"""Only small values pass through it."""
GRACE_SECONDS = 60.0
"""A worker that is asked to end stops its runs first."""
POLL_SECONDS = 0.2


def run_beside_node(program: Sequence[str], address: str, grace: float = GRACE_SECONDS) -> int:
    """Run the program until it ends, and return its exit code; 1 if the node ended first.

    SIGTERM is passed on to the program, which keeps its node until it has ended.
    """
    memory = f"--object-store-memory={OBJECT_STORE_BYTES}"
    node = _start(["ray", "start", f"--address={address}", "--num-cpus=0", "--num-gpus=0", memory, "--block"])
    user = _start(program)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: user.terminate())
    while user.poll() is None and node.poll() is None:
        time.sleep(POLL_SECONDS)
    node_was_first = user.returncode is None
    if node_was_first:
        print(f"the Ray node has ended with exit code {node.returncode}; ending {program[0]} too", file=sys.stderr)  # noqa: T201
    _end(user, grace)
    _end(node, grace)
    return 1 if node_was_first else _exit_code(user.returncode)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # In a session of its own, so that a Ctrl-C in a terminal reaches it through this process only, in order.
    return subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own arguments, no shell


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _exit_code(returncode: int) -> int:
    """Return a process's code as a shell does: 128 plus the signal's number, if a signal ended it."""
    return 128 - returncode if returncode < 0 else returncode


def main() -> None:
    """Run the program that the command line names."""
    address = os.environ.get("RAY_ADDRESS")
    if not address or len(sys.argv) < 2:
        sys.exit("usage: RAY_ADDRESS=host:port python -m infra.ray_node PROGRAM [ARGUMENT]...")
    sys.exit(run_beside_node(sys.argv[1:], address))


if __name__ == "__main__":
    main()
