"""The local stack: real servers as ordinary processes, started once, found again, stopped together.

$NMT_HOME/stack/stack.json   what runs: options (no secrets), processes, logs
$NMT_HOME/stack/logs/        a log per server
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from infra.options import StackOptions
from infra.postgres import prepare_database
from infra.processes import MARK, Handle, busy, last_lines, start, stop, stop_members
from infra.services import NO_TELEMETRY, RAY_ON_LOOPBACK, WORKER, Service, client_environment, services, write_files
from pipeline.errors import ExternalError, InputError
from pipeline.store.storage import home

READY_SECONDS = 240
"""Prefect's first start migrates its database, which takes over a minute on a slow machine."""
STOP_SECONDS = {WORKER: 30}
"""The worker stops its runs, which report that; servers need less time."""

Say = Callable[[str, str], None]
"""Receives the name of a server and what happens to it."""


@dataclass(frozen=True)
class Running:
    """A server that was started."""

    name: str
    handle: Handle
    address: str
    log: Path


@dataclass(frozen=True)
class Stack:
    """What was started, as recorded in stack.json."""

    mark: str
    options: StackOptions
    running: Mapping[str, Running] = field(default_factory=dict)

    @property
    def alive(self) -> set[str]:
        """The names of the servers whose processes are there."""
        return {name for name, server in self.running.items() if server.handle.process() is not None}

    def write(self) -> None:
        """Record it, whole or not at all."""
        text = json.dumps(
            {
                "mark": self.mark,
                "options": self.options.public(),
                "running": {name: asdict(server) | {"log": str(server.log)} for name, server in self.running.items()},
            },
            indent=2,
        )
        temporary = _file().with_suffix(".new")
        temporary.write_text(text + "\n", "utf8")
        temporary.replace(_file())


def folder() -> Path:
    """Return the folder of the stack's own files."""
    return home() / "stack"


def _file() -> Path:
    return folder() / "stack.json"


def find_stack() -> Stack | None:
    """Return the stack of this `$NMT_HOME`, if any was started and not ended; its servers may have died."""
    try:
        content: dict[str, Any] = json.loads(_file().read_text("utf8"))
    except FileNotFoundError:
        return None
    running = {
        name: Running(name, Handle(**server["handle"]), server["address"], Path(server["log"]))
        for name, server in content["running"].items()
    }
    return Stack(content["mark"], StackOptions(**content["options"]), running)


def use_running_stack() -> None:
    """Point this process at the stack of this `$NMT_HOME`, if it runs, where the user has not named other servers."""
    stack = find_stack()
    if stack is not None and stack.alive == set(stack.running):
        if stack.options.is_public:
            os.environ.pop(RAY_ON_LOOPBACK, None)
        for name, value in client_environment(stack.options).items():
            os.environ.setdefault(name, value)


def bring_up(options: StackOptions, say: Say) -> Stack:
    """Start the servers that do not run yet, and return when all of them answer.

    `say(name, text)` receives what happens. If it fails, what this call started is stopped again.

    Raises InputError for options that do not go together, or not with a stack that runs, ExternalError for a server
    that does not start.
    """
    options.check()
    with _locked():
        stack = find_stack() or Stack(uuid.uuid4().hex, options)
        if stack.alive and stack.options.public() != options.public():
            raise InputError(_difference(stack.options, options))
        stack = replace(stack, options=options)
        wanted = {name: service for name, service in services(options, folder()).items() if name not in stack.alive}
        _refuse_busy_ports(options, wanted)
        write_files(folder())
        if options.database is not None and wanted:
            prepare_database(options.database)
        for name in stack.alive:
            say(name, "already running")
        started: list[str] = []
        try:
            for names in ([name for name in wanted if name != WORKER], [WORKER] if WORKER in wanted else []):
                if names == [WORKER]:
                    _prepare_pool(options)
                for name in names:
                    stack = _start(stack, wanted[name])
                    started.append(name)
                _wait(stack, {name: wanted[name] for name in names}, say)
        except BaseException:
            _stop(stack, started, say)
            raise
    return stack


def take_down(say: Say) -> bool:
    """Stop the servers, the worker first, and all that they started; return whether there were any."""
    with _locked():
        stack = find_stack()
        if stack is None:
            return False
        _stop(stack, sorted(stack.running, key=lambda name: name != WORKER), say)
        _file().unlink()
    return True


def _start(stack: Stack, service: Service) -> Stack:
    logs = folder() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{service.name}.log"
    environment = {**os.environ, **NO_TELEMETRY, **service.environment, MARK: stack.mark}
    server = Running(service.name, start(service.command, environment, log, folder()), service.address, log)
    stack = replace(stack, running={**stack.running, service.name: server})
    stack.write()
    return stack


def _wait(stack: Stack, wanted: Mapping[str, Service], say: Say) -> None:
    """Wait until the servers answer. Raises ExternalError for one that ends, or does not answer in time."""
    waiting = dict(wanted)
    end = time.monotonic() + READY_SECONDS
    while waiting:
        for name, service in list(waiting.items()):
            server = stack.running[name]
            if server.handle.process() is None:
                raise ExternalError(f"{name} has ended: {last_lines(server.log)}\nits log is {server.log}")
            if service.ready():
                say(name, f"ready at {service.address}")
                del waiting[name]
            elif time.monotonic() > end:
                raise ExternalError(f"{name} does not answer after {READY_SECONDS} seconds; its log is {server.log}")
        time.sleep(0.2 if waiting else 0)


def _stop(stack: Stack, names: list[str], say: Say) -> None:
    for name in names:
        stop(stack.running[name].handle, STOP_SECONDS.get(name, 15))
        say(name, "stopped")
    if set(names) >= stack.alive:
        stop_members(stack.mark)


def _prepare_pool(options: StackOptions) -> None:
    """Create the work pool and the automations, with the command that does so for a server elsewhere."""
    command = [str(Path(sys.executable).with_name("nmt")), "pool", "--pool", options.pool]
    environment = os.environ | NO_TELEMETRY | client_environment(options)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ExternalError(f"the work pool could not be created: {done.stderr.strip().removeprefix('nmt: ')}")


def _refuse_busy_ports(options: StackOptions, wanted: Mapping[str, Service]) -> None:
    for service in wanted.values():
        for option in service.ports:
            port = options.ports[option]
            reason = busy(options.host, port)
            if reason:
                raise InputError(f"{option} {port}: {reason}; choose another")


def _difference(old: StackOptions, new: StackOptions) -> str:
    before, after = old.public(), new.public()
    name = next(name for name in before if before[name] != after[name])
    return (
        f"--{name.replace('_', '-')} {after[name]}: the servers run with {before[name]}; "
        "give that, or stop them first with `nmt down`"
    )


@contextmanager
def _locked() -> Iterator[None]:
    """Let one command at a time change the stack."""
    folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder() / "stack.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ExternalError(f"another `nmt up` or `nmt down` is working on {folder()}; wait for it") from None
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class State:
    """How a server is."""

    name: str
    state: str
    """ready, does not answer, or has ended."""
    address: str
    pid: int
    log: Path

    def public(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"log": str(self.log)}


def report(stack: Stack) -> list[State]:
    """Ask every server of a stack how it is."""
    known = services(stack.options, folder())
    alive = stack.alive

    def state(server: Running) -> str:
        if server.name not in alive:
            return "has ended"
        return "ready" if known[server.name].ready() else "does not answer"

    return [
        State(server.name, state(server), server.address, server.handle.pid, server.log)
        for server in stack.running.values()
    ]
