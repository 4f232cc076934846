"""Servers as ordinary processes [psutil]: started in the background, found again, stopped with their children."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK, SERVER = "NMT_STACK", "NMT_STACK_SERVER"
"""The variables that hold a stack's id and a server's name, in all its processes, even if their parent has died."""

STARTING_SECONDS = 2.0
"""How long a process that has just been started may be without the environment that it is given."""


@dataclass(frozen=True)
class Handle:
    """A server's process, told apart from any other that gets its number, by its environment.

    By the time of its start it could not be: that is counted from the clock's, which may be set.
    """

    pid: int
    mark: str
    server: str

    def process(self) -> psutil.Process | None:
        """Return the process, or None if it has ended."""
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.pid)
            end = time.monotonic() + STARTING_SECONDS
            while not process.environ() and time.monotonic() < end:
                time.sleep(0.01)
            if _belongs(process, self.mark, self.server):
                return process
        return None


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> int:
    """Start a process that outlives this one and its terminal; what it prints is added to `log`. Return its number."""
    log.touch(mode=0o600)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    return process.pid


def members(mark: str, server: str | None = None) -> Iterator[psutil.Process]:
    """Yield the running processes of the stack that bears this mark, or of one of its servers."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if _belongs(process, mark, server):
                yield process


def _belongs(process: psutil.Process, mark: str, server: str | None) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    environment = process.environ()
    return environment.get(MARK) == mark and server in {None, environment.get(SERVER)}


def stop(handle: Handle, seconds: float) -> None:
    """Ask a process to end and wait for it, so that it can end what it started."""
    process = handle.process()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            psutil.wait_procs([process], timeout=seconds)


def stop_members(mark: str, server: str | None = None, seconds: float = 5.0) -> int:
    """End what is left of a stack, or of one of its servers, by force if asking does not help; return how many."""
    left = [process for process in members(mark, server) if process.pid != os.getpid()]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)
    return len(left)


def busy(host: str, port: int) -> str | None:
    """Return why a server cannot listen there, or None if it can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return str(error.strerror)
    return None


def free_port(host: str) -> int:
    """Return a port that nothing listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def own_names() -> set[str]:
    """Return the names and addresses of this machine."""
    name, families = socket.gethostname(), {socket.AF_INET, socket.AF_INET6}
    found = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    addresses = {address.address.partition("%")[0] for address in found if address.family in families}
    return {"localhost", name, socket.getfqdn(name)} | addresses


def last_lines(log: Path, number: int = 5) -> str:
    """Return the last lines of a log that are not blank, for an error message."""
    try:
        lines = [line for line in log.read_text("utf8", "replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-number:])
