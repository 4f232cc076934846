"""Connects to a Ray cluster, or starts one on this machine."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir
from typing import Any

import ray
from ray.exceptions import RaySystemError

from pipeline.cluster.ray_internals import (
    OWN_CLUSTER,
    STARTUP_TIMED_OUT,
    InstalledCodeOnly,
    default_folder,
    ended_sessions,
    prepare_autoscaling,
    read_token,
    takes_sockets,
    use_loopback,
)
from pipeline.errors import ExternalError
from pipeline.store.leftovers import abandoned_folders, held_folder
from pipeline.store.secrets import kept_secret
from pipeline.store.storage import Folder
from pipeline.store.store import Store, node_store
from pipeline.store.whole_files import make_private
from pipeline.store.writable import obstacle
from pipeline.training.worker import WORKER_ENVIRONMENT

OBJECT_STORE_BYTES = 128 * 2**20
"""Only small values pass through it."""

OURS = "nmt-ray-"
"""How the names of our clusters' folders begin."""

SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - a folder of our own is made in them
"""Where a cluster on this machine keeps its sockets if Ray's own folder will not do."""

HOLD_SECONDS = 0.5
"""Before an early start: most mistakes in a corpus are found by then, and reported without waiting for Ray to end."""


@dataclass(frozen=True)
class DriverStore:
    """The driver's store, in plain values that can be sent to workers on any node."""

    node: str
    root: str
    """An absolute path, since workers change directory."""
    shared: Folder | None
    """What other nodes copy artifacts from; None: they see the driver's store under the same path."""

    @classmethod
    def of(cls, store: Store) -> "DriverStore":
        """Describe this process's store; the process must be connected to a cluster."""
        return cls(ray.get_runtime_context().get_node_id(), str(store.root), store.shared)

    def open(self) -> Store:
        """Open it in a worker; on another node than the driver's, as that node's own store over the shared one."""
        elsewhere = ray.get_runtime_context().get_node_id() != self.node
        return node_store(self.shared) if self.shared and elsewhere else Store(Path(self.root), self.shared)


class EarlyStart:
    """Starts a cluster on this machine in the background, while a run prepares its data.

    Both take about as long. Inside the context, `ray_cluster` waits for the cluster and uses it; the cluster ends with
    the context, or at `end`.
    """

    _started: "Future[None] | None" = None
    """Of the class, since a process has one connection to Ray."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the cluster, unless it has been started, or another one is used."""
        if EarlyStart._started is None and not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
            EarlyStart._started = Future()
            self._thread = threading.Thread(target=self._run, args=(EarlyStart._started,), name="ray-cluster")
            self._thread.start()

    def _run(self, started: "Future[None]") -> None:
        """Start the cluster and stay alive: its processes die with the thread that started them."""
        if self._ended.wait(HOLD_SECONDS):
            return
        try:
            _connect(None)
        except BaseException as error:  # raised in the thread that needs the cluster
            started.set_exception(error)
        else:
            started.set_result(None)
            self._ended.wait()
            _disconnect()

    @classmethod
    def wait(cls) -> None:
        """Wait for a cluster that is starting; raise the error that kept it from starting."""
        if cls._started is not None:
            cls._started.result()

    def __enter__(self) -> "EarlyStart":
        """Enter the context; `begin` starts the cluster."""
        return self

    def end(self) -> None:
        """Shut the cluster down, in the background."""
        self._ended.set()

    def __exit__(self, *error: object) -> None:
        """Shut the cluster down and wait for it."""
        self.end()
        if self._thread is not None:
            self._thread.join()
            EarlyStart._started = None


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine, for as long as the context lasts.

    A process that is already connected stays connected.

    Raises ExternalError if the cluster does not answer or does not start.
    """
    EarlyStart.wait()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if ray.is_initialized():
        _install(handlers)
        yield
        return
    try:
        _connect(os.environ.get("RAY_ADDRESS"))
        _install(handlers)
        yield
    finally:
        _disconnect()


def _install(handlers: Mapping[signal.Signals, Any]) -> None:
    """Install the signal handlers of Prefect and of this program again, which Ray has replaced, below Python's eyes."""
    for number, handler in handlers.items():
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(number, handler)


_left = ExitStack()
"""What a cluster on this machine leaves, to be removed after it."""


def _disconnect() -> None:
    ray.shutdown()
    _left.close()


def _connect(address: str | None) -> None:
    try:
        host, _, port = (address or "").rpartition(":")
        if host and port.isdigit():
            # Ray itself retries for minutes, silently.
            with socket.create_connection((host, int(port)), timeout=5) as found:
                if ip_address(found.getpeername()[0]).is_loopback:
                    _prepare_for_loopback(int(port))
        options: dict[str, Any] = {
            "logging_level": logging.ERROR,
            "log_to_driver": False,
            "job_config": InstalledCodeOnly(),
        }
        if address:
            ray.init(address=address, runtime_env={"env_vars": WORKER_ENVIRONMENT}, **options)
        else:
            # In the environment of all its processes rather than of a job: then Ray can use the workers that it has
            # started beforehand, instead of starting one process more for each.
            folder = _own_folder()
            options["_temp_dir"] = str(folder / "ray")  # Ray opens it to all users; the one around it is ours alone.
            with _environment(WORKER_ENVIRONMENT | OWN_CLUSTER | _own_token(), folder):
                ray.init("local", object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, **options)
            prepare_autoscaling()
    except OSError as error:
        _left.close()
        if not address:
            raise ExternalError(f"Ray did not start on this machine ({error}); fix this and try again") from error
        raise ExternalError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}); start it or unset the variable"
        ) from None
    except Exception as error:
        _left.close()
        if STARTUP_TIMED_OUT in str(error):
            raise ExternalError("Ray did not start on this machine in time; try again when it is less busy") from error
        if address or not isinstance(error, RaySystemError):
            raise
        raise ExternalError(f"Ray did not start on this machine ({error}); run the same command again") from error


def _own_folder() -> Path:
    """Make a folder for the sockets and logs of a cluster on this machine, which is removed after it.

    It is Ray's own temporary folder unless that cannot be written or leaves no room: paths of sockets have at most 107
    bytes. What clusters have left whose drivers were killed is removed first.
    """
    usual = default_folder().parent
    for parent in (usual, *map(Path, SHORT_FOLDERS)):
        if obstacle(parent) is not None or not takes_sockets(parent / f"{OURS}xxxxxxxx" / "ray"):
            continue
        make_private(parent)
        return _left.enter_context(held_folder(parent, OURS))
    raise ExternalError(
        f"TMPDIR: {obstacle(usual) or f'{usual} is too long a path for the sockets of Ray'}; set RAY_TMPDIR to a short "
        "one that can be written"
    )


def ended_clusters() -> list[Path]:
    """Return what clusters on this machine have left that have ended: ours, and what older versions left to Ray."""
    parents = {default_folder().parent, *map(Path, SHORT_FOLDERS)}
    return [folder for parent in parents for folder in abandoned_folders(parent, OURS)] + ended_sessions()


def _own_token() -> dict[str, str]:
    """Prepare the token of a cluster on this machine: a file in the user's ~/.ray, else a variable of its processes.

    Ray would make that file too, but readable by every user of the machine.
    """
    folder = Path("~/.ray").expanduser().absolute()
    if obstacle(folder) is not None:
        return {"RAY_AUTH_TOKEN": token_hex(32)}
    if not os.environ.get("RAY_AUTH_TOKEN") and not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        kept_secret(folder / "auth_token")
    return {}


@contextmanager
def _environment(variables: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Prepare what the processes inherit that are started inside the context.

    That is variables, except those that the user has set; a folder for temporary files, which goes with the cluster
    even if they are killed; and that what they write is nobody else's.
    """
    gettempdir()  # This process keeps its own.
    added = {name: value for name, value in variables.items() if name not in os.environ}
    before, mask = dict(os.environ), os.umask(0o077)
    os.environ.update(added, TMPDIR=str(folder))
    try:
        yield
    finally:
        os.umask(mask)
        for name in (*added, "TMPDIR"):
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]


def _prepare_for_loopback(port: int) -> None:
    """Let Ray connect to a cluster at a loopback address.

    Ray replaces the address by the machine's own, where a cluster that listens on loopback alone does not answer; and
    it sends the token in the user's ~/.ray only to clusters that it has found by itself.
    """
    try:
        own = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        socket.create_connection((own, port), timeout=5).close()
    except OSError:
        use_loopback()
    read_token()
