"""The local stack: real servers as ordinary processes, started once, found again, stopped together."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from infra.databases import prepare_databases
from infra.options import DATABASE_VARIABLE, NOTIFY_VARIABLE, SECRETS, StackOptions
from infra.processes import MARK, SERVER, busy, last_lines, start, stop, stop_members
from infra.running_stack import Running, Stack, find_stack, folder, record
from infra.secrets import PREFECT_AUTH, PREFECT_SERVER_AUTH, make_prefect_auth, prefect_auth
from infra.services import NO_TELEMETRY, PREFECT, WORKER, Service, client_environment, services
from pipeline.errors import ExternalError, InputError
from pipeline.store.whole_files import make_private

READY_SECONDS = 240
"""Prefect's first start migrates its database, which takes over a minute on a slow machine."""
STOP_SECONDS = {WORKER: 30}
"""The worker stops its runs, which report that; servers need less time."""

NOT_INHERITED = {*SECRETS, PREFECT_AUTH, DATABASE_VARIABLE, NOTIFY_VARIABLE}
"""Of the variables that hold secrets each server gets its own only, from services.py."""

Say = Callable[[str, str], None]
"""Receives the name of a server and what happens to it."""


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
        _prepare_secret(stack)
        wanted = {name: service for name, service in services(options, folder()).items() if name not in stack.alive}
        for name in wanted:
            stop_members(stack.mark, name)  # What a server has left that was killed, and that keeps its port.
        _refuse_busy_ports(options, wanted)
        if wanted:
            prepare_databases(options, folder())
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
            if not stack.alive:
                record().unlink(missing_ok=True)
            raise
    return stack


def _prepare_secret(stack: Stack) -> None:
    """Make the secret of a Prefect server that is to be started. Raises InputError if one runs with another."""
    given = os.environ.get(PREFECT_SERVER_AUTH)
    if PREFECT not in stack.alive:
        make_prefect_auth(folder())
    elif given and given != prefect_auth(folder()):
        raise InputError(f"{PREFECT_SERVER_AUTH}: Prefect's server runs with another; unset it, or `nmt down` first")


def take_down(say: Say) -> Stack | None:
    """Stop the servers, the worker first, and all that they started; return what was stopped."""
    with _locked():
        stack = find_stack()
        if stack is not None:
            _stop(stack, sorted(stack.running, key=lambda name: name != WORKER), say)
            record().unlink()
    return stack


def _start(stack: Stack, service: Service) -> Stack:
    logs = folder() / "logs"
    make_private(logs)
    log = logs / f"{service.name}.log"
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    environment = {**inherited, **NO_TELEMETRY, **service.environment, MARK: stack.mark, SERVER: service.name}
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
            if stack.handle(name).process() is None:
                raise ExternalError(f"{name} has ended: {last_lines(server.log)}\nits log is {server.log}")
            if service.ready():
                say(name, f"ready at {service.address}")
                del waiting[name]
            elif time.monotonic() > end:
                raise ExternalError(f"{name} does not answer after {READY_SECONDS} seconds; its log is {server.log}")
        time.sleep(0.2 if waiting else 0)


def _stop(stack: Stack, names: list[str], say: Say) -> None:
    for name in names:
        stop(stack.handle(name), STOP_SECONDS.get(name, 15))
        say(name, "stopped")
    if set(names) >= stack.alive:
        stop_members(stack.mark)


def _prepare_pool(options: StackOptions) -> None:
    """Create the work pool and the automations, with the command that does so for a server elsewhere."""
    command = [str(Path(sys.executable).with_name("nmt")), "pool", "--pool", options.pool]
    environment = os.environ | NO_TELEMETRY | client_environment(options, folder())
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
    make_private(folder())
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
        State(server.name, state(server), server.address, server.pid, server.log) for server in stack.running.values()
    ]
