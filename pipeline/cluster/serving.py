"""A registered model on Ray Serve: concurrent requests in one batch, more replicas when there are more of them."""

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from pipeline.cluster.connection import DriverStore, ray_cluster
from pipeline.cluster.ray_internals import close_replica_port
from pipeline.cluster.resources import WorkerRoom, worker_room
from pipeline.errors import InputError
from pipeline.registry.pull import FOLDER, PulledVersion
from pipeline.serving.http_server import UNAVAILABLE, Door, Front, listening
from pipeline.serving.model_process import ModelProcess
from pipeline.serving.protocol import Invocation, Reply, refusal
from pipeline.serving.request_batches import Batcher
from pipeline.store.store import Store

BATCHES_WAITING, MIN_WAITING = 4, 64
"""A replica accepts this many batches, and at least this many requests; others wait where a new replica can take them.
With fewer it would be idle: Serve offers requests to a full replica again only after a pause."""

DIED = "the model's process has died; repeat the request"

OURS, CLAIM = "nmt-", "nmt-serve"
"""How the names of our applications begin; the name of the actor that tells whether the program behind one lives."""


@dataclass(frozen=True)
class ServingJob:
    """What a replica needs to start, in plain values."""

    store: DriverStore
    model: str
    """Its address in the store."""
    threads: int
    batch: int
    """The most requests that are answered together."""
    device: str


class TranslationReplica:
    """A replica of Ray Serve with its own model."""

    def __init__(self, job: ServingJob) -> None:
        """Load the model, which is copied to this node first if the driver runs on another."""
        close_replica_port()
        self._model = ModelProcess(job.store.open().fetch(job.model) / FOLDER, job.threads, job.device)
        self._broken = False
        self._batcher = Batcher(self._answer, job.batch, self._model.parameters)

    async def parameters(self) -> dict[str, Any]:
        """Return the model's parameters with their defaults."""
        return self._model.parameters

    async def answer(self, invocation: Invocation) -> Reply:
        """Answer a request, together with others; if it is cancelled, the slices of it that are left are dropped."""
        return await self._batcher.answer(invocation)

    async def _answer(self, invocations: list[Invocation]) -> list[Reply]:
        try:
            return await asyncio.wrap_future(self._model.answer(invocations))
        except BrokenProcessPool:
            self._broken = True
            return [refusal(503, DIED, UNAVAILABLE) for _ in invocations]

    def check_health(self) -> None:
        """Raise if the model's process has died: Serve then replaces this replica."""
        if self._broken:
            raise RuntimeError("the model's process has died")

    def __del__(self) -> None:
        """End the model's process."""
        self._model.close()


@dataclass(frozen=True)
class Serving:
    """How a model is served."""

    host: str = "127.0.0.1"
    port: int = 8000
    min_replicas: int = 1
    max_replicas: int | None = None
    """None: as many as the cluster has GPUs or, on CPUs, CPUs for."""
    threads: int = 1
    """CPUs per replica."""
    batch: int = 64
    token: str | None = None
    hosts: frozenset[str] = frozenset({"localhost"})
    """The names by which clients reach it, beside its addresses."""
    seconds: float = 60
    """How long a request may take."""
    device: str = "auto"


def fit_replicas(options: Serving, room: WorkerRoom, cpus: int) -> int:
    """Return the most replicas that there may be on a cluster with that room; raise InputError if they do not fit it.

    >>> fit_replicas(Serving(threads=2), WorkerRoom(3, None), cpus=7)
    3
    """
    most = options.max_replicas or max(options.min_replicas, room.most, 1)
    if room.gpus and most > room.most:
        raise InputError(
            f"--max-replicas {most}: each takes a GPU, and the cluster has {room.most}; set fewer, or --device cpu"
        )
    if most * options.threads > cpus:
        raise InputError(
            f"--max-replicas {most} --threads {options.threads}: they take {most * options.threads} CPUs, and the "
            f"cluster has {cpus}; set fewer"
        )
    if options.min_replicas > most:
        raise InputError(f"--min-replicas {options.min_replicas}: more than --max-replicas {most}")
    return most


class _Claim:
    """An actor that lives as long as the program that serves here: Ray ends it with its owner, however that ends."""


def claim_serve() -> object:
    """Return a claim on the cluster's Ray Serve, held for as long as it is referenced.

    What a killed `nmt serve` has left is removed. Raises InputError if a living one, or somebody else, serves here.
    """
    taken = InputError("Ray Serve runs on this cluster already; end it with `serve shutdown`, or use another cluster")
    try:
        claim = ray.remote(_Claim).options(name=CLAIM, namespace=CLAIM, num_cpus=0).remote()
    except ValueError:
        raise taken from None
    status = serve.status()
    if status.applications or status.proxies:
        if not status.applications or not all(name.startswith(OURS) for name in status.applications):
            raise taken
        serve.shutdown()  # type: ignore[no-untyped-call]
    return claim


@contextmanager
def serving(model: PulledVersion, options: Serving, store: Store) -> Iterator[str]:
    """Serve a model for as long as the context lasts; yield its address once it answers.

    Raises InputError for more replicas than the cluster has CPUs or GPUs for, for a GPU that cannot be used, or if the
    cluster runs Serve already.
    """
    device = model.check_device(options.device)
    with ray_cluster():
        cpus = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        room = worker_room(device, f"--device {device}", options.threads)
        max_replicas = fit_replicas(options, room, cpus)
        job = ServingJob(
            store=DriverStore.of(store),
            model=model.address,
            threads=options.threads,
            batch=options.batch,
            device=device if room.gpus else "cpu",
        )
        claim = claim_serve()
        deployment = serve.deployment(
            name="translation",
            max_ongoing_requests=max(MIN_WAITING, options.batch * BATCHES_WAITING),
            autoscaling_config={
                "min_replicas": options.min_replicas,
                "max_replicas": max_replicas,
                "target_ongoing_requests": max(1, options.batch // 8),
            },
            ray_actor_options=room.options(options.threads),
        )(TranslationReplica)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        try:
            serve.start(proxy_location="Disabled")
            handle = serve.run(deployment.bind(job), name=f"{OURS}{model.name}", route_prefix=None, blocking=False)
            usual = handle.parameters.remote().result()
            front = Front(
                partial(_ask, handle),
                usual,
                {"model": model.uri, "ray": ray.__version__, "device": room.kind.lower()},
                Door(options.hosts, options.token, options.seconds),
            )
            with listening(front, options.host, options.port) as address:
                yield address
        finally:
            del claim
            if os.environ.get("RAY_ADDRESS"):  # A cluster of our own ends as a whole.
                serve.shutdown()  # type: ignore[no-untyped-call]


async def _ask(handle: DeploymentHandle[Any], invocation: Invocation) -> Reply:
    """Return a replica's answer; if this is cancelled, the replica drops the request."""
    response = handle.answer.remote(invocation)
    try:
        reply: Reply = await response
    except asyncio.CancelledError:
        response.cancel()  # type: ignore[no-untyped-call]
        raise
    except (ray.exceptions.RayError, RayServeException):
        return refusal(503, DIED, UNAVAILABLE)
    return reply
