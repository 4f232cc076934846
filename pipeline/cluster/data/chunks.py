"""Chunks of pairs, cleaned and encoded by all nodes of a cluster.

Tasks of Ray's core instead of its Data library: pairs come as a stream that is read once and in order, and Ray Data
wants to know all blocks before it begins.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from pipeline.cluster.connection import ray_cluster
from pipeline.errors import ExternalError
from pipeline.processes import ELSEWHERE, Pair, Pool, Work

LOST_NODES = 3
"""How often a chunk is worked on anew because its node was lost."""

_prepared: tuple[str, Work[Any]] | None = None
"""Of a process on a node: the work that it has prepared, by the name of its pool."""


@contextmanager
def chunks_on_cluster() -> Iterator[None]:
    """Have the chunks of long corpora worked on by the cluster that RAY_ADDRESS names, if it names one."""
    token = ELSEWHERE.set(_pool if os.environ.get("RAY_ADDRESS") else None)
    try:
        yield
    finally:
        ELSEWHERE.reset(token)


@dataclass(frozen=True)
class _Nodes:
    """The free CPUs of a cluster."""

    size: int
    _name: str
    _work: Any

    def submit(self, first: int, pairs: list[Pair]) -> Callable[[], Any]:
        answer = _do.options(max_retries=LOST_NODES).remote(self._name, self._work, first, pairs)

        def result() -> Any:
            try:
                return ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise ExternalError(
                    f"RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: the cluster lost the pairs from {first:,} on again "
                    f"and again ({type(error).__name__}); run the same command again"
                ) from error

        return result


@contextmanager
def _pool(prepare: Callable[..., Work[Any]], arguments: tuple[Any, ...]) -> Iterator[Pool]:
    with ray_cluster():
        cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        yield _Nodes(max(1, cpus), uuid.uuid4().hex, ray.put((prepare, arguments)))


@ray.remote(num_cpus=1)
def _do(name: str, work: tuple[Callable[..., Work[Any]], tuple[Any, ...]], first: int, pairs: list[Pair]) -> Any:
    global _prepared
    if _prepared is None or _prepared[0] != name:
        prepare, arguments = work
        _prepared = name, prepare(*arguments)
    return _prepared[1](first, pairs)
