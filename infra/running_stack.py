"""The local stack as it is recorded: what runs, that it is this user's own, and how programs use it.

$NMT_HOME/stack/stack.json   what runs: options (no secrets), processes, logs
$NMT_HOME/stack/logs/        a log per server
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.options import StackOptions, is_own
from infra.processes import Handle
from infra.services import NAMES, RAY_ON_LOOPBACK, client_environment
from pipeline.errors import ExternalError, InputError
from pipeline.store.storage import home
from pipeline.store.whole_files import write_whole
from pipeline.store.writable import foreign_owner


@dataclass(frozen=True)
class Running:
    """A server that was started."""

    name: str
    pid: int
    address: str
    log: Path


@dataclass(frozen=True)
class Stack:
    """What was started, as recorded in stack.json."""

    mark: str
    options: StackOptions
    running: Mapping[str, Running] = field(default_factory=dict)

    def handle(self, name: str) -> Handle:
        """Return the handle of a server that was started."""
        return Handle(self.running[name].pid, self.mark, name)

    @property
    def alive(self) -> set[str]:
        """The names of the servers whose processes are there."""
        return {name for name in self.running if self.handle(name).process() is not None}

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
        write_whole(record(), f"{text}\n".encode())


def folder() -> Path:
    """Return the folder of the stack's own files."""
    return home() / "stack"


def record() -> Path:
    """Return the file that says what runs."""
    return folder() / "stack.json"


def find_stack() -> Stack | None:
    """Return the stack of this `$NMT_HOME`, if any was started and not ended; its servers may have died.

    Raises InputError for a record that is not this user's or names another machine: whoever has put it there would be
    sent this user's secrets and data.
    """
    try:
        text = record().read_text("utf8")
    except FileNotFoundError:
        return None
    user = foreign_owner(record())
    if user is not None:
        raise InputError(f"{record()}: it belongs to {user}; set NMT_HOME to a folder of your own")
    try:
        content: dict[str, Any] = json.loads(text)
        options = StackOptions(**content["options"])
        running = {
            name: Running(**server | {"log": Path(server["log"])}) for name, server in content["running"].items()
        }
        stack = Stack(content["mark"], options, running)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{record()}: it is no record of servers that `nmt up` started; remove it") from None
    if not is_own(options.host):
        raise InputError(f"{record()}: the servers are at {options.host}, not on this machine; remove the file")
    return stack if running else None


def use_running_stack() -> None:
    """Point this process at the stack of this `$NMT_HOME`, if there is one, where the user has not named other servers.

    Secrets go with the addresses, so that none is sent to a server that the user has named.

    Raises ExternalError if a part of it does not run: another database is not to be used in silence.
    """
    stack = find_stack()
    if stack is None:
        return
    ended = [name for name in NAMES if name not in stack.alive]
    if ended:
        verb = "do" if len(ended) > 1 else "does"
        raise ExternalError(
            f"of the servers that `nmt up` started, {' and '.join(ended)} {verb} not run; "
            "start them again with `nmt up`, or stop the rest with `nmt down`"
        )
    given = {
        name.partition("_")[0]
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")
        if os.environ.get(name)
    }
    if stack.options.is_public and "RAY" not in given:
        os.environ.pop(RAY_ON_LOOPBACK, None)
    clients = client_environment(stack.options, folder())
    os.environ.update({name: value for name, value in clients.items() if name.partition("_")[0] not in given})
