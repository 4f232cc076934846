"""Which workers a cluster can give: what its GPUs are good for, and arithmetic on its nodes.

A request beyond them is an error at once.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.ray_internals import NODE_LABEL, free_gpus
from pipeline.config import TrainingConfig
from pipeline.errors import InputError
from pipeline.inference.devices import GPU, device_name, gpu_obstacles

Node = Mapping[str, Any]
"""A node as Ray lists it."""

ASKING_SECONDS = 60
"""How long the nodes may take to say what is in the way of their GPUs: each imports torch for it."""


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a cluster that torch can use."""

    nodes: tuple[str, ...] = ()
    """The ids of the nodes with GPUs that can be used, all of a node's or none."""
    obstacles: tuple[str, ...] = ()
    """What is in the way of the other nodes' GPUs, each reason once, with a remedy."""
    name: str = ""
    """What the first of them is called; empty where nobody could be asked."""

    @property
    def labels(self) -> dict[str, str] | None:
        """The labels of the nodes that can be used, for Ray to select by; None if all that have GPUs can."""
        return {NODE_LABEL: f"in({','.join(self.nodes)})"} if self.nodes and self.obstacles else None


@dataclass(frozen=True)
class Allotment:
    """The workers of a training: how many processes, on GPUs or not, and the CPU threads of each."""

    workers: int
    gpu: bool
    threads: int
    fewest: int | None = None
    """With how many it goes on where nodes have left, with more when they come back; None: always with all."""

    @property
    def range(self) -> int | tuple[int, int]:
        """The number of workers as Ray Train takes it."""
        return self.workers if self.fewest is None else (self.fewest, self.workers)


_answers: dict[str, tuple[str, str]] = {}
"""What the nodes have said in this process, by their ids: what the first GPU is called, and what is in the way."""


def ask_for_gpus(nodes: Sequence[Node]) -> Gpus:
    """Have every node that lists GPUs try those that are free, in a process of its own; return which can be used.

    Ray lists what the machine has, whether or not torch there has a build, a driver and code for it. A node that does
    not answer in time, since all its GPUs are in use, counts: its workers ask again. A node is asked once.
    """
    listed = {str(node["NodeID"]): node for node in nodes if node.get("Alive", True) and _gpus(node) > 0}
    free = free_gpus() if listed else {}
    asked = {_ask(node, max(1, free.get(node, 0))): node for node in listed if node not in _answers}
    answered, late = ray.wait([*asked], num_returns=len(asked), timeout=ASKING_SECONDS) if asked else ([], [])
    for task in late:
        ray.cancel(task)
    _answers.update({asked[task]: _answer(task) for task in answered})
    answers = {node: _answers.get(node, ("", "")) for node in listed}
    obstacles = [
        f"node {listed[node]['NodeManagerAddress']}: {why}" if len(listed) > 1 else why
        for node, (_, why) in answers.items()
        if why
    ]
    usable = tuple(node for node, (_, why) in answers.items() if not why)
    return Gpus(usable, tuple(obstacles), next((name for name, _ in answers.values() if name), ""))


def _ask(node: str, gpus: int) -> Any:
    """Start a process on a node that tries some of its GPUs, and ends, since it holds memory of them."""
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    trial: Any = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(_try_gpus)
    return trial.options(num_gpus=gpus, scheduling_strategy=here).remote()


def _try_gpus() -> tuple[str, str]:
    """In a process that has GPUs: return what the first is called, and what is in the way, or nothing."""
    obstacles = gpu_obstacles()
    return ("", "; ".join(obstacles)) if obstacles else (device_name(GPU), "")


def _answer(task: Any) -> tuple[str, str]:
    try:
        answer: tuple[str, str] = ray.get(task)
    except RayError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return "", f"the process that tried it ended ({reason}); look at what `nvidia-smi` says"
    return answer


def _gpus(node: Node) -> int:
    return int(node["Resources"].get("GPU", 0))


def ask_for(choice: str, option: str, nodes: Sequence[Node]) -> Gpus:
    """Return the GPUs that a choice of devices (auto, cpu, gpu) may use; `option` is its field and value, for messages.

    Warns of GPUs that cannot be used. Raises InputError for `gpu` where there is none, or none that can be.
    """
    gpus = Gpus() if choice == "cpu" else ask_for_gpus(nodes)
    why = "; ".join(gpus.obstacles)
    if choice == "gpu" and not gpus.nodes:
        reason = (
            f"the GPU cannot be used: {why}, or" if why else "the cluster lists no GPU; start it where there is one, or"
        )
        raise InputError(f"{option}: {reason} choose cpu")
    if why:
        left = "some GPUs are" if gpus.nodes else "on the CPU, since the GPU is"
        logging.getLogger(__name__).warning("%s: %s not used: %s", option, left, why)
    return gpus


def usable(nodes: Sequence[Node], gpus: Gpus) -> list[Mapping[str, float]]:
    """Return the resources of each node that is alive, without the GPUs that torch cannot use."""
    return [
        node["Resources"] | ({} if node["NodeID"] in gpus.nodes else {"GPU": 0})
        for node in nodes
        if node.get("Alive", True)
    ]


def gpu_slots(resources: Sequence[Mapping[str, float]], cpus: int = 1) -> int:
    """Return how many processes there is room for that take a GPU and `cpus` CPUs of the same node each."""
    return sum(min(int(node.get("CPU", 0)) // cpus, int(node.get("GPU", 0))) for node in resources)


@dataclass(frozen=True)
class WorkerRoom:
    """How many processes that translate a cluster has room for, and on what."""

    most: int
    gpus: Gpus | None
    """None: they compute on CPUs."""

    @property
    def kind(self) -> str:
        """What each of them takes."""
        return "GPU" if self.gpus else "CPU"

    def options(self, cpus: int) -> dict[str, Any]:
        """Return what Ray should give each."""
        if self.gpus is None:
            return {"num_cpus": cpus}
        labels = self.gpus.labels
        return {"num_cpus": cpus, "num_gpus": 1} | ({"label_selector": labels} if labels else {})


def worker_room(device: str, option: str, cpus: int = 1) -> WorkerRoom:
    """Return the room for processes that take `cpus` CPUs each on this cluster, and a GPU where one can be used.

    Raises InputError as `ask_for` does.
    """
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    gpus = ask_for(device, option, nodes)
    resources = usable(nodes, gpus)
    if slots := gpu_slots(resources, cpus):
        return WorkerRoom(slots, gpus)
    if device == "gpu":
        raise InputError(
            f"{option}: no node has a GPU and {cpus} CPUs for each process; give fewer CPUs, or choose cpu"
        )
    return WorkerRoom(sum(int(node.get("CPU", 0)) for node in resources) // cpus, None)


def allot(
    config: TrainingConfig, resources: Sequence[Mapping[str, float]], environment: Mapping[str, str]
) -> Allotment:
    """Return the workers that `config` asks for, fitted to the nodes' resources (see `usable`).

    OMP_NUM_THREADS in `environment` limits a worker's threads. Raises InputError naming what is missing; Ray itself
    would wait for it forever.
    """
    cpus = [int(node.get("CPU", 0)) for node in resources]
    slots = gpu_slots(resources)
    gpu = config.device == "gpu" or (config.device == "auto" and any(node.get("GPU", 0) >= 1 for node in resources))
    # One process on CPU: threads share weights and gradients, which processes would have to copy.
    fewest, workers = _asked(config, max(1, slots) if gpu else 1)
    kind, there = ("GPU", slots) if gpu else ("CPU", sum(cpus))
    if fewest > there:
        named = f"training.num_workers={fewest}" if config.num_workers else f"training.device={config.device}"
        remedy = f"set training.num_workers={there} or less" if there else "set training.device=cpu"
        if gpu and there and config.device == "auto":
            remedy += ", or training.device=cpu"
        raise InputError(f"{named}: {fewest} {kind}s are needed, one per worker, and the cluster has {there}; {remedy}")
    threads = 1 if gpu else threads_per_worker(cpus, min(workers, there))
    # OpenMP also accepts a number per nesting level, such as 4,2, and warns about values that it does not accept.
    most = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    threads = min(threads, int(most)) if most.isdecimal() and int(most) else threads
    return Allotment(workers, gpu, threads, None if fewest == workers else fewest)


def _asked(config: TrainingConfig, default: int) -> tuple[int, int]:
    """Return the fewest and the most workers."""
    asked = config.num_workers or default
    return (asked, asked) if isinstance(asked, int) else asked


def threads_per_worker(cpus: Sequence[int], workers: int) -> int:
    """Return the most threads that each of `workers` can have on nodes with these numbers of CPUs, none shared.

    >>> threads_per_worker([16], 3), threads_per_worker([2, 2, 2], 2), threads_per_worker([8, 2], 4)
    (5, 2, 2)
    """
    fitting = (t for t in range(max(cpus), 0, -1) if sum(count // t for count in cpus) >= workers)
    return next(fitting, 1)
