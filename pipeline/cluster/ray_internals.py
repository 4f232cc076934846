"""All that this project uses of Ray without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with Ray's source, and raise it. Ray
Train's parts are in ray_train_internals.py, since importing them takes a third of a second, which only trainings need.
One name is kept elsewhere, where Ray must not be imported yet: RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER (flows/__init__.py,
infra/services.py).
"""

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._private.state import available_resources_per_node
from ray._private.utils import validate_socket_filepath
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator
from ray.job_config import JobConfig
from ray.util.placement_group import NODE_ID_LABEL_KEY
from ray.util.queue import Queue

VERSION = "2.60.0"

OWN_CLUSTER = {
    # Watches for machines that are about to be taken back, which this one is not: a process less per training.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # How often a training checks its workers: by default every 2 seconds, which it also waits at the end.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Imported by each worker as it starts.
    "RAY_preload_python_modules": "pipeline.gc_tuning",
    # By default, workers give way to all else (nice 15): beside two busy processes they would stand still.
    "RAY_worker_niceness": "0",
    # A worker that is starting when the cluster is killed tries five times to connect, by default 5 seconds each.
    "RAY_gcs_rpc_server_connect_timeout_s": "2",
}
"""The environment of a cluster that this process starts: ray/train/v2/_internal/constants.py, and for the last three
src/ray/common/ray_config_def.h, in C++."""


class InstalledCodeOnly(JobConfig):
    """A job whose workers import installed packages only, not a model.py in the folder that the user happens to be in.

    Ray puts the driver's current folder first in its workers' path, except for jobs with a working directory of their
    own (ray/_private/worker.py): this one says that it has one.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


STARTUP_TIMED_OUT = "timed out during startup"
"""In the message of the Exception that `ray.init` raises if its processes are too slow (ray/_private/node.py)."""


NO_PORT = 0

STARTING_SECONDS = 600
"""A younger cluster may not listen yet."""
DATA_LOGGER = "ray.data"
"""The logger that Ray Data gives a handler for the console (ray/data/_internal/logging.py)."""

LONGEST_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket in a cluster's folder (ray/_private/node.py); it ends with a process's number."""


def default_folder() -> Path:
    """Return the folder in which Ray would keep its sockets and logs: in RAY_TMPDIR, on Linux TMPDIR, or /tmp."""
    return Path(get_default_ray_temp_dir())  # type: ignore[no-untyped-call]


def ended_sessions() -> list[Path]:
    """Return the folders of this user's clusters in Ray's own folder that have ended: on whose sockets nobody listens.

    Ray never removes them (ray/_private/node.py).
    """
    ended = []
    for folder in default_folder().glob("session_2*"):
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            found = folder.stat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > STARTING_SECONDS:
                try:
                    probe.connect(str(folder / "sockets" / "raylet"))
                except (ConnectionRefusedError, FileNotFoundError):
                    ended.append(folder)
    return ended


def takes_sockets(folder: Path) -> bool:
    """Return whether the paths of a cluster's sockets in this folder are as short as the system wants them."""
    try:
        validate_socket_filepath(str(folder / LONGEST_SOCKET))
    except OSError:
        return False
    return True


def put_without_waiting(queue: Queue, item: object) -> Any:
    """Put an item into an unbounded queue; `Queue.put` waits until it is there, which an event loop must not.

    Returns a reference that is ready when it is there.
    """
    actor: Any = queue.actor
    return actor.put_nowait.remote(item)


def request_item(queue: Queue, seconds: float) -> Any:
    """Return a reference to a queue's next item, or to `Empty` if there is none within `seconds`.

    `Queue.get` waits for the answer, which never comes if the cluster has lost the queue's actor or cannot start it.
    """
    actor: Any = queue.actor
    return actor.get.remote(seconds)


def node_addresses() -> dict[str, str]:
    """Return the address of each node by its id: `ray.nodes` is public, what it returns is not described."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}  # type: ignore[no-untyped-call]


NODE_LABEL = NODE_ID_LABEL_KEY
"""The label that Ray gives every node, with its id."""


def free_gpus() -> dict[str, int]:
    """Return the number of GPUs of each node that nobody uses now, by the node's id; a developers' API has them."""
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return {str(node): int(resources.get("GPU", 0)) for node, resources in free.items()}


def quieten_data() -> None:
    """Keep all but errors of Ray Data off the console; its log file still gets everything."""
    for handler in logging.getLogger(DATA_LOGGER).handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


def prepare_autoscaling() -> None:
    """Start the actor that every training asks for resources, so that none waits for its process to start."""
    get_or_create_autoscaling_coordinator()  # type: ignore[no-untyped-call]


def dead_process() -> str | None:
    """Return the name of a process that has died and without which the cluster started here cannot continue, if any.

    Ray notices after a minute and then ends this process, without raising anything.
    """
    node = ray._private.worker._global_node
    needed = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
    dead: list[str] = [name for name, _ in node.dead_processes() if name in needed] if node else []
    return dead[0] if dead else None


def close_replica_port() -> None:
    """Keep a replica of Ray Serve, in whose process this is called, from listening for other deployments.

    It does so on all addresses, without Ray's token, and unpickles what it is sent (ray/serve/_private/replica.py):
    anybody in the network could run code. Only handles that ask for gRPC use that server; Serve's proxy does not.
    """
    from ray.serve._private import replica  # Takes most of a second, and only a replica needs it, which has it already.

    vars(replica)["add_port_to_grpc_server"] = lambda *_: NO_PORT


def use_loopback() -> None:
    """Make Ray take 127.0.0.1 for this machine's address."""
    ray_constants.ENABLE_RAY_CLUSTER = False


def read_token() -> None:
    """Make Ray send the token in the user's ~/.ray, which it does by itself only to clusters that it has found."""
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
