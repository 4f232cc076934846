"""A registered model on Ray Serve: concurrent requests in one batch, more replicas when there are more of them."""

import asyncio
import hashlib
import hmac
import logging
import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from pipeline.cluster.connection import DriverStore, ray_cluster
from pipeline.cluster.ray_internals import close_replica_port
from pipeline.errors import InputError
from pipeline.registry.pull import FOLDER, PulledVersion
from pipeline.serving.model_process import ModelProcess
from pipeline.serving.protocol import MAX_BODY_BYTES, Invocation, Reply, read_invocation, refusal, too_large
from pipeline.serving.request_batches import Batcher
from pipeline.store.store import Store

BATCHES_WAITING, MIN_WAITING = 4, 64
"""A replica accepts this many batches, and at least this many requests; others wait where a new replica can take them.
With fewer it would be idle: Serve offers requests to a full replica again only after a pause."""


@dataclass(frozen=True)
class ServingJob:
    """What a replica needs to start, in plain values."""

    store: DriverStore
    model: str
    """Its address in the store."""
    uri: str
    threads: int
    batch: int
    """The most requests that are answered together."""
    token_hash: str | None
    """SHA-256 of the token that requests must bring; the token itself stays in the driver."""


class TranslationReplica:
    """A replica of Ray Serve with its own model."""

    def __init__(self, job: ServingJob) -> None:
        """Load the model, which is copied to this node first if the driver runs on another."""
        close_replica_port()
        self._model = ModelProcess(job.store.open().fetch(job.model) / FOLDER, job.threads)
        self._job = job
        self._broken = False
        self._batcher = Batcher(self._answer, job.batch)

    async def __call__(self, request: Request) -> Response:
        """Answer a request to one of MLflow's endpoints; there are no others."""
        path, method = request.url.path.rstrip("/"), request.method
        if method == "GET" and path in {"/ping", "/health"}:
            return Response("\n", media_type="application/json")
        reply = await self._reply(path, method, request)
        return Response(reply.body(), reply.status, media_type="application/json")

    async def _reply(self, path: str, method: str, request: Request) -> Reply:
        if not self._is_known(request.headers.get("authorization", "")):
            return refusal(401, "a token is needed: send the header Authorization: Bearer <token>", "UNAUTHENTICATED")
        if method == "GET" and path == "/version":
            return Reply(200, {"model": self._job.uri, "ray": ray.__version__})
        if path != "/invocations":
            return refusal(404, f"{path or '/'}: there are /invocations, /ping, /health and /version", "NOT_FOUND")
        if method != "POST":
            return refusal(405, f"{method} /invocations: use POST", "METHOD_NOT_ALLOWED")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return too_large(len(body))
        invocation = read_invocation(bytes(body), self._model.parameters, request.headers.get("content-type"))
        return invocation if isinstance(invocation, Reply) else await self._batcher.answer(invocation)

    def _is_known(self, header: str) -> bool:
        wanted = self._job.token_hash
        given = hashlib.sha256(header.removeprefix("Bearer ").encode()).hexdigest()
        return wanted is None or hmac.compare_digest(given, wanted)

    async def _answer(self, invocations: list[Invocation]) -> list[Reply]:
        try:
            return await asyncio.wrap_future(self._model.answer(invocations))
        except BrokenProcessPool:
            self._broken = True
            return [
                refusal(503, "the model's process has died; repeat the request", "TEMPORARILY_UNAVAILABLE")
                for _ in invocations
            ]

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
    """None: as many as the cluster has CPUs for."""
    threads: int = 1
    """CPUs per replica."""
    batch: int = 64
    token: str | None = None


def fit_replicas(options: Serving, cpus: int) -> int:
    """Return the most replicas that there may be on a cluster with `cpus`; raise InputError if they do not fit it.

    >>> fit_replicas(Serving(threads=2), cpus=7)
    3
    """
    most = options.max_replicas or max(options.min_replicas, cpus // options.threads, 1)
    if most * options.threads > cpus:
        raise InputError(
            f"--max-replicas {most} --threads {options.threads}: they take {most * options.threads} CPUs, and the "
            f"cluster has {cpus}; set fewer"
        )
    if options.min_replicas > most:
        raise InputError(f"--min-replicas {options.min_replicas}: more than --max-replicas {most}")
    return most


@contextmanager
def serving(model: PulledVersion, options: Serving, store: Store) -> Iterator[str]:
    """Serve a model for as long as the context lasts; yield its address once it answers.

    Raises InputError for more replicas than the cluster has CPUs for, or if the cluster runs Serve already.
    """
    with ray_cluster():
        cpus = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        max_replicas = fit_replicas(options, cpus)
        job = ServingJob(
            store=DriverStore.of(store),
            model=model.address,
            uri=model.uri,
            threads=options.threads,
            batch=options.batch,
            token_hash=hashlib.sha256(options.token.encode()).hexdigest() if options.token else None,
        )
        if serve.status().proxies:
            raise InputError(
                "Ray Serve runs on this cluster already; end it with `serve shutdown`, or use another cluster"
            )
        deployment = serve.deployment(
            name="translation",
            max_ongoing_requests=max(MIN_WAITING, options.batch * BATCHES_WAITING),
            autoscaling_config={
                "min_replicas": options.min_replicas,
                "max_replicas": max_replicas,
                "target_ongoing_requests": max(1, options.batch // 8),
            },
            ray_actor_options={"num_cpus": options.threads},
        )(TranslationReplica)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        try:
            serve.start(http_options={"host": options.host, "port": options.port})
            serve.run(deployment.bind(job), name=f"nmt-{model.name}", route_prefix="/", blocking=False)
            yield f"http://{options.host}:{options.port}"
        finally:
            if os.environ.get("RAY_ADDRESS"):  # A cluster of our own ends as a whole.
                serve.shutdown()  # type: ignore[no-untyped-call]
