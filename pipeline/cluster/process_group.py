"""The process group of a training's workers: where they meet, and on which address they listen.

As torch and Ray make it, the first worker listens on all addresses of its machine, without a password. Here a worker
alone has no group. Workers on one node meet in a file that only their user can read, and talk over loopback. Workers on
several nodes meet and talk at the addresses by which the cluster knows their nodes, and nowhere else.
"""

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import ray
import torch.distributed as dist
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from torch.distributed import FileStore, Store, TCPStore  # type: ignore[attr-defined] # As its documentation has them.

from pipeline.cluster.ray_internals import node_addresses
from pipeline.cluster.ray_train_internals import TorchBackend
from pipeline.errors import ExternalError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Meeting:
    """Where the workers of a training find each other, in plain values."""

    workers: int
    seconds: int
    """How long they wait for each other, here and in every collective."""
    place: str
    """A file, or the address and port of the first worker."""
    port: int | None


@dataclass
class GroupConfig(TorchConfig):
    """Ray's configuration of a process group, set up by `GroupBackend`."""

    @property
    def backend_cls(self) -> "type[GroupBackend]":
        """What sets the group up; Ray asks for it."""
        return GroupBackend


class GroupBackend(TorchBackend):
    """Sets up a process group, whenever Ray has started the workers of a training."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Make all workers members of one group; one worker alone needs none."""
        assert isinstance(backend_config, GroupConfig)
        nodes: Sequence[str] = worker_group.execute(_node)
        if len(nodes) == 1:
            return
        known = node_addresses()
        several = len(set(nodes)) > 1
        addresses = [known[node] if several else LOOPBACK for node in nodes]
        meeting = worker_group.execute_single(
            0, _open, addresses[0] if several else None, len(nodes), backend_config.timeout_s
        )
        ray.get(
            [
                worker_group.execute_single_async(rank, _join, meeting, rank, address, backend_config.backend)
                for rank, address in enumerate(addresses)
            ]
        )
        if backend_config.backend == "gloo":  # All are connected to all others; NCCL connects them when it has to.
            worker_group.execute_single(0, _close)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Leave the group."""
        super().on_shutdown(worker_group, backend_config)
        worker_group.execute_single(0, _close)


_opened: list[Store | Path] = []
"""In the process of the first worker: what it has opened for the others."""


def _node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _open(address: str | None, workers: int, seconds: int) -> Meeting:
    """Open a meeting at an address of this machine, or in a file if it is for this machine alone."""
    if address is None:
        folder = Path(mkdtemp(prefix="nmt-workers-"))
        _opened.append(folder)
        return Meeting(workers, seconds, str(folder / "store"), None)
    try:
        listener = socket.create_server((address, 0))
    except OSError as error:
        raise ExternalError(
            f"a worker cannot listen on {address}, by which the Ray cluster knows its node ({error}); "
            "start the node with --node-ip-address and an address that it has"
        ) from None
    port = int(listener.getsockname()[1])
    _opened.append(
        TCPStore(
            address,
            port,
            workers,
            is_master=True,
            timeout=timedelta(seconds=seconds),
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )
    )
    return Meeting(workers, seconds, address, port)


def _join(meeting: Meeting, rank: int, address: str, backend: str) -> None:
    """Become a member of the group, which talks over the interface that has the address."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == address for found in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")
    timeout = timedelta(seconds=meeting.seconds)
    dist.init_process_group(
        backend, store=_store(meeting, rank, timeout), rank=rank, world_size=meeting.workers, timeout=timeout
    )


def _store(meeting: Meeting, rank: int, timeout: timedelta) -> Store:
    if meeting.port is None:
        store: Store = FileStore(meeting.place, meeting.workers)
        store.set_timeout(timeout)
        return store
    if rank == 0:
        return next(opened for opened in _opened if isinstance(opened, Store))
    return TCPStore(meeting.place, meeting.port, meeting.workers, is_master=False, timeout=timeout)


def _close() -> None:
    """Remove what has been opened; the store at an address lives as long as the group."""
    while _opened:
        opened = _opened.pop()
        if isinstance(opened, Path):
            shutil.rmtree(opened, ignore_errors=True)
