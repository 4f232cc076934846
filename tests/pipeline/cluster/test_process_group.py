"""Workers of several nodes meet, and listen, at their nodes' addresses alone; test_training.py has one node."""

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
import torch.distributed as dist

from pipeline.cluster import process_group
from pipeline.cluster.process_group import GroupBackend, GroupConfig
from pipeline.errors import ExternalError


class Workers:
    """Stands in for Ray's workers: a process each, on nodes that are said to be several."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = nodes
        self._processes = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in nodes]

    def __len__(self) -> int:
        return len(self._nodes)

    def execute(self, function: Callable[..., Any]) -> list[Any]:
        if function is process_group._node:
            return [*self._nodes]
        return [process.submit(function).result() for process in self._processes]

    def execute_single(self, rank: int, function: Callable[..., Any], *given: Any) -> Any:
        return self.execute_single_async(rank, function, *given).result()

    def execute_single_async(self, rank: int, function: Callable[..., Any], *given: Any) -> "Future[Any]":
        return self._processes[rank].submit(function, *given)

    def end(self) -> None:
        for process in self._processes:
            process.shutdown()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(ray, "get", lambda futures: [future.result(60) for future in futures])
    two = Workers(["one", "two"])
    yield two
    two.end()


def own_address() -> str | None:
    """Return an address of this machine by which others reach it."""
    found = (each for addresses in psutil.net_if_addrs().values() for each in addresses)
    own = (each.address for each in found if each.family == socket.AF_INET and not each.address.startswith("127."))
    return next(own, None)


def listening() -> set[str]:
    return {
        each.laddr.ip.removeprefix("::ffff:")
        for each in psutil.Process().net_connections()
        if each.status == psutil.CONN_LISTEN
    }


def total() -> float:
    number = torch.tensor(dist.get_rank() + 1.0)
    dist.all_reduce(number)
    return float(number)


def test_on_several_nodes_they_listen_at_the_address_of_their_node(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address beside loopback")
    monkeypatch.setattr(process_group, "node_addresses", lambda: {"one": address, "two": address})
    config = GroupConfig(backend="gloo", timeout_s=30)
    GroupBackend().on_start(workers, config)
    first, second = (workers.execute_single_async(rank, total) for rank in range(2))
    assert (first.result(), second.result()) == (3.0, 3.0)
    assert workers.execute(listening) == [{address}, {address}]


def test_an_address_that_a_node_does_not_have_is_named() -> None:
    with pytest.raises(ExternalError, match=r"cannot listen on 192\.0\.2\.1.*--node-ip-address"):
        process_group._open("192.0.2.1", workers=2, seconds=30)


def test_the_file_that_workers_of_a_node_meet_in_is_their_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "_opened", [])
    meeting = process_group._open(None, workers=2, seconds=30)
    folder = Path(meeting.place).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    process_group._close()
    assert not folder.exists()
