"""Which workers a cluster can give: arithmetic on its nodes, so that a request beyond them is an error at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import TrainingConfig
from pipeline.errors import InputError


@dataclass(frozen=True)
class Allotment:
    """The workers of a training: how many processes, on GPUs or not, and the CPU threads of each."""

    workers: int
    gpu: bool
    threads: int


def allot(config: TrainingConfig, nodes: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> Allotment:
    """Return the workers that `config` asks for, fitted to the nodes as Ray lists them.

    OMP_NUM_THREADS in `environment` limits a worker's threads. Raises InputError naming what is missing; Ray itself
    would wait for it forever.
    """
    alive = [node["Resources"] for node in nodes if node.get("Alive", True)]
    cpus = [int(resources.get("CPU", 0)) for resources in alive]
    gpus = [int(resources.get("GPU", 0)) for resources in alive]
    gpu = config.device == "gpu" or (config.device == "auto" and sum(gpus) > 0)
    workers = config.num_workers or (
        # One process on CPU: threads share weights and gradients, which processes would have to copy.
        max(1, sum(min(pair) for pair in zip(cpus, gpus, strict=True))) if gpu else 1
    )
    # A GPU worker takes a CPU as well, on the same node.
    slots = sum(min(pair) for pair in zip(cpus, gpus, strict=True))
    kind, there = ("GPU", slots) if gpu else ("CPU", sum(cpus))
    if workers > there:
        named = (
            f"training.num_workers={config.num_workers}" if config.num_workers else f"training.device={config.device}"
        )
        remedy = f"set training.num_workers={there} or less" if there else "set training.device=cpu"
        if gpu and there and config.device == "auto":
            remedy += ", or training.device=cpu"
        raise InputError(
            f"{named}: {workers} {kind}s are needed, one per worker, and the cluster has {there}; {remedy}"
        )
    threads = 1 if gpu else threads_per_worker(cpus, workers)
    # OpenMP also accepts a number per nesting level, such as 4,2, and warns about values that it does not accept.
    most = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return Allotment(workers, gpu, min(threads, int(most)) if most.isdecimal() and int(most) else threads)


def threads_per_worker(cpus: Sequence[int], workers: int) -> int:
    """Return the most threads that each of `workers` can have on nodes with these numbers of CPUs, none shared.

    >>> threads_per_worker([16], 3), threads_per_worker([2, 2, 2], 2), threads_per_worker([8, 2], 4)
    (5, 2, 2)
    """
    fitting = (t for t in range(max(cpus), 0, -1) if sum(count // t for count in cpus) >= workers)
    return next(fitting, 1)
