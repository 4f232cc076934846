"""Connects to a Ray cluster, or starts one on this machine."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ray

from pipeline.cluster.ray_internals import (
    OWN_CLUSTER,
    STARTUP_TIMED_OUT,
    InstalledCodeOnly,
    prepare_autoscaling,
    read_token,
    use_loopback,
)
from pipeline.errors import ExternalError
from pipeline.store.storage import Folder
from pipeline.store.store import Store, node_store
from pipeline.training.worker import WORKER_ENVIRONMENT

OBJECT_STORE_BYTES = 128 * 2**20
"""Nothing but small values passes through it."""

HOLD_SECONDS = 0.5
"""Before an early start: most mistakes in a corpus are found by then, and are told without waiting for Ray to end."""


@dataclass(frozen=True)
class DriverStore:
    """The store of the process that drives a cluster, in plain values that can be sent to its nodes."""

    node: str
    root: str
    """As an absolute path, since workers change directory."""
    shared: Folder | None
    """What other nodes copy artifacts from; None: they have the driver's store under the same path."""

    @classmethod
    def of(cls, store: Store) -> "DriverStore":
        """Describe the store of this process, which is connected to a cluster."""
        return cls(ray.get_runtime_context().get_node_id(), str(store.root), store.shared)

    def open(self) -> Store:
        """Open it in a worker: on another node than the driver's, that node's own in front of what is shared."""
        elsewhere = ray.get_runtime_context().get_node_id() != self.node
        return node_store(self.shared) if self.shared and elsewhere else Store(Path(self.root), self.shared)


class EarlyStart:
    """Starts this machine's cluster in the background, while a run does what comes before its training.

    It takes as long as making a corpus. Within, `ray_cluster` waits for it and uses it; it ends with this, or before.
    """

    _started: "Future[None] | None" = None
    """Of this process: Ray knows one connection a process."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the cluster, unless that has begun, or none of its own is needed."""
        if EarlyStart._started is None and not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
            EarlyStart._started = Future()
            self._thread = threading.Thread(target=self._run, args=(EarlyStart._started,), name="ray-cluster")
            self._thread.start()

    def _run(self, started: "Future[None]") -> None:
        """Start the cluster and stay: its processes die with the thread that they were started by."""
        if self._ended.wait(HOLD_SECONDS):
            return
        try:
            _connect(None)
        except BaseException as error:  # for the thread that needs the cluster
            started.set_exception(error)
        else:
            started.set_result(None)
            self._ended.wait()
            ray.shutdown()

    @classmethod
    def wait(cls) -> None:
        """Wait until the cluster is there, if it is on its way; raise what has kept it from starting."""
        if cls._started is not None:
            cls._started.result()

    def __enter__(self) -> "EarlyStart":
        """Start nothing yet."""
        return self

    def end(self) -> None:
        """Begin to end the cluster, in the background too."""
        self._ended.set()

    def __exit__(self, *error: object) -> None:
        """End the cluster."""
        self.end()
        if self._thread is not None:
            self._thread.join()
            EarlyStart._started = None


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine; end it after.

    A program that is connected already stays so.
    """
    EarlyStart.wait()
    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _connect(os.environ.get("RAY_ADDRESS"))
        # Ray takes over signals that Prefect and this program handle.
        for number, handler in handlers.items():
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    try:
        host, _, port = (address or "").rpartition(":")
        if host and port.isdigit():
            # Ray itself tries for many minutes, without a word.
            with socket.create_connection((host, int(port)), timeout=5) as found:
                if ip_address(found.getpeername()[0]).is_loopback:
                    _expect_on_this_machine(int(port))
        options: dict[str, Any] = {
            "logging_level": logging.ERROR,
            "log_to_driver": False,
            "job_config": InstalledCodeOnly(),
        }
        if address:
            ray.init(address=address, runtime_env={"env_vars": WORKER_ENVIRONMENT}, **options)
        else:
            # As the environment of all its processes, and not of a job's: workers that Ray has started beforehand
            # can then be taken, where each would be a process started anew.
            with _environment(WORKER_ENVIRONMENT | OWN_CLUSTER):
                ray.init("local", object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, **options)
            prepare_autoscaling()
    except OSError as error:
        raise ExternalError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}); start it or unset it"
        ) from None
    except Exception as error:
        if STARTUP_TIMED_OUT not in str(error):
            raise
        raise ExternalError("Ray did not start on this machine in time; try again when it is less busy") from error


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have variables in the environment of the processes that are started within; what the user has set stays."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _expect_on_this_machine(port: int) -> None:
    """Make Ray able to connect to a cluster that is named by a loopback address.

    It asks for such a cluster at the machine's own address, where one that listens on loopback alone does not answer;
    and it gives the token in the user's ~/.ray, which clusters of this machine take, to those alone that it has found
    itself.
    """
    try:
        own = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        socket.create_connection((own, port), timeout=5).close()
    except OSError:
        use_loopback()
    read_token()
