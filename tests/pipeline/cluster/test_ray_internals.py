"""What this project takes from Ray without a promise is still there, in the version that it was read in."""

import inspect
import logging
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
    "RAY_worker_niceness",
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


def test_the_switch_to_loopback_is_read_when_the_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renamed, it would do nothing, and Ray would listen on the outer address without a word."""
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", True)
    monkeypatch.setattr("ray._private.worker._global_node", None)
    monkeypatch.setattr("ray._private.services.node_ip_address_from_perspective", lambda address: "192.0.2.1")
    address = find("ray.util:get_node_ip_address")
    assert address() == "192.0.2.1"
    find("pipeline.cluster.ray_internals:use_loopback")()
    assert address() == "127.0.0.1", CHECK


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        ("ray.train.v2.api.data_parallel_trainer:DataParallelTrainer.fit", "self._create_default_callbacks()"),
        ("ray.train.v2._internal.execution.controller.controller", '"after_controller_start"'),
        ("ray.train.v2._internal.callbacks.backend_setup:BackendSetupCallback", "self._backend.on_start("),
        ("ray.train.v2._internal.callbacks.backend_setup:BackendSetupCallback", "self._backend.on_shutdown("),
        ("ray._private.worker", "_runtime_env_has_working_dir()"),
    ],
)
def test_what_is_overridden_is_called(caller: str, called: str) -> None:
    """Renamed, ours would be there and never run: the Train callbacks back, torch's store open to all."""
    assert called in inspect.getsource(find(caller)), CHECK


def test_ray_sets_up_no_process_group_beside_ours() -> None:
    backend = find("pipeline.cluster.process_group:GroupConfig")(backend="gloo").backend_cls
    assert backend.on_start is not find("ray.train.torch.config:_TorchBackend").on_start
    methods = find("ray.train.v2._internal.execution.worker_group.execution_group:ExecutionGroup")
    for name in ("execute", "execute_single", "execute_single_async", "__len__"):
        assert callable(getattr(methods, name)), CHECK


def test_a_snapshot_names_its_checkpoints_as_they_are_read() -> None:
    """Resuming goes by these names; others would read as a run without checkpoints."""
    module = "ray.train.v2._internal.execution.checkpoint.checkpoint_manager"
    result = find(f"{module}:_TrainingResultState")(checkpoint_dir_name="checkpoint_1", metrics={})
    state = find(f"{module}:_CheckpointManagerState").model_construct(checkpoint_results=[result])
    named = find("pipeline.cluster.ray_train_internals:named_checkpoints")
    assert named(state.model_dump_json(include={"checkpoint_results"}).encode()) == {"checkpoint_1"}, CHECK


def test_the_failures_of_a_training_are_found() -> None:
    failures_of = find("pipeline.cluster.ray_train_internals:failures_of")
    errors, cause = import_module("ray.train.v2.api.exceptions"), OSError("full")
    assert failures_of(errors.ControllerError(cause)) == (cause, {}), CHECK
    lost = errors.WorkerGroupError("lost", {1: cause})
    assert failures_of(lost) == (lost, {1: cause}), CHECK
    assert failures_of(cause) == (cause, {})


def test_the_token_is_where_it_is_looked_for() -> None:
    path = find("ray._private.authentication.authentication_token_setup:_get_default_token_path")()
    assert path == Path("~/.ray/auth_token").expanduser(), CHECK


def test_the_console_of_ray_data_has_a_handler_that_can_be_quietened() -> None:
    find("ray.data._internal.logging:configure_logging")()
    handlers = logging.getLogger(find("pipeline.cluster.ray_internals:DATA_LOGGER")).handlers
    on_console = [each for each in handlers if isinstance(each, logging.StreamHandler)]
    assert on_console, CHECK
    find("pipeline.cluster.ray_internals:quieten_data")()
    assert all(each.level == logging.ERROR for each in on_console), CHECK
