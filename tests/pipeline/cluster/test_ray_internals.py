"""What this project takes from Ray without a promise is still there, in the version that it was read in."""

import inspect
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from infra.services import RAY_ON_LOOPBACK

VARIABLES = (
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S",
    "RAY_preload_python_modules",
    "RAY_gcs_rpc_server_connect_timeout_s",
)
CHECK = (
    f"Ray is {version('ray')}: compare every part in pipeline/cluster/ray_internals.py and ray_train_internals.py with "
    "its source, run the slow tests, and set VERSION"
)


def find(name: str) -> Any:
    """Return what bears a full name, such as `module:Class.method`, or fail."""
    module, _, attributes = name.partition(":")
    try:
        found: Any = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{error}. {CHECK}")
    return found


def test_ray_is_the_version_that_was_read() -> None:
    assert find("pipeline.cluster.ray_internals:VERSION") == version("ray"), CHECK


@pytest.mark.parametrize(
    "name",
    [
        "pipeline.cluster.ray_internals",
        "pipeline.cluster.ray_train_internals",
        "ray._private.ray_constants:ENABLE_RAY_CLUSTER",
        "ray._private.node:Node.dead_processes",
        "ray._private.worker:_global_node",
        "ray.serve._private.replica:add_port_to_grpc_server",
        "ray.train.torch:TorchTrainer._create_default_callbacks",
        "ray.train.torch.config:_TorchBackend.on_start",
        "ray.train.torch.config:_TorchBackend.on_shutdown",
        "ray.train.v2._internal.execution.callback:ControllerCallback.after_controller_start",
        "ray.train.v2._internal.execution.controller.controller:TrainController.abort",
        "ray.job_config:JobConfig._runtime_env_has_working_dir",
        "ray.util.queue:_QueueActor.get",
        "ray.util.queue:_QueueActor.put_nowait",
    ],
)
def test_what_is_imported_called_or_overridden_is_there(name: str) -> None:
    find(name)


def test_variables_are_ones_that_ray_reads() -> None:
    assert tuple(find("pipeline.cluster.ray_internals:OWN_CLUSTER")) == VARIABLES
    of_train = vars(find("ray.train.v2._internal.constants")).values()
    of_core = Path(find("ray._raylet").__file__).read_bytes()
    for name in VARIABLES:
        assert name in of_train or name.encode() in of_core, f"Ray reads no {name}. {CHECK}"
    assert find("ray._private.ray_constants:ENABLE_RAY_CLUSTERS_ENV_VAR") == RAY_ON_LOOPBACK, CHECK


def test_names_of_checkpoints_begin_as_rays() -> None:
    name = find("ray.train.v2._internal.execution.storage:StorageContext.make_default_checkpoint_dir_name")()
    assert name.startswith(find("pipeline.cluster.ray_train_internals:CHECKPOINT_PREFIX")), CHECK


def test_an_error_that_is_told_by_its_message_has_it() -> None:
    source = inspect.getsource(find("ray._private.node"))
    assert find("pipeline.cluster.ray_internals:STARTUP_TIMED_OUT") in source, CHECK
