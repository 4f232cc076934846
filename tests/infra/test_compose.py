"""compose.yaml: it is what Compose takes, asks for every secret, and gives its containers no more than they need."""

import re
from collections.abc import Iterator

import pytest
import yaml
from compose_spec import PyCompose

from infra.options import is_loopback
from tests.infra.manifests import (
    EVERYWHERE,
    INFRA,
    SECRET_NAME,
    Document,
    compose_file,
    compose_project,
    compose_secrets,
    fill_in,
    without_digest,
)

SERVICES: dict[str, Document] = compose_project()["services"]
ONE_SHOTS = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
SERVERS = set(SERVICES) - ONE_SHOTS


def each_service() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", SERVICES)


def test_it_is_what_compose_takes() -> None:
    project = compose_project()
    for service in project["services"].values():
        service["image"] = without_digest(
            service["image"]
        )  # Compose takes both a tag and a digest, this reader does not.
    PyCompose.from_yaml(yaml.safe_dump(project))


def test_what_it_holds() -> None:
    assert {"databases", "bucket", "mlflow-tables", "account", "deploy"} == ONE_SHOTS
    expected = {"postgres", "object-store", "prefect-server", "mlflow", "ray-head", "ray-worker", "ray-gpu"}
    assert expected | {"prefect-worker"} == SERVERS


@pytest.mark.parametrize("missing", sorted(compose_secrets()))
def test_nothing_starts_without_every_secret(missing: str) -> None:
    secrets = dict.fromkeys(compose_secrets() - {missing}, "secret")
    for environment in (secrets, secrets | {missing: ""}):
        with pytest.raises(KeyError, match=missing):
            fill_in(compose_file(), environment)


@each_service()
def test_no_secret_is_written_down_or_has_a_default(name: str) -> None:
    for key, value in compose_file()["services"][name].get("environment", {}).items():
        if SECRET_NAME.search(key) and key != "NMT_NOTIFY_URL":
            assert re.fullmatch(r"\$\{NMT_\w+:\?[^}]+\}", value), key
        assert not re.search(r"//[^/@]*:[^/@]*@", value), f"{key} has a password in its URL"


def published(name: str, **environment: str) -> Iterator[tuple[str, str, str]]:
    for port in compose_project(**environment)["services"][name].get("ports", []):
        host, outside, inside = port.rsplit(":", 2)
        yield host, outside, inside


def test_ports_are_published_on_loopback_unless_another_address_is_named() -> None:
    ports = {name: list(published(name)) for name in SERVICES if "ports" in SERVICES[name]}
    assert {inside for found in ports.values() for _, _, inside in found} == {"4200", "5000", "8265"}
    assert all(is_loopback(host) for found in ports.values() for host, _, _ in found)
    assert all(host == EVERYWHERE for name in ports for host, _, _ in published(name, NMT_BIND=EVERYWHERE))


@each_service()
def test_containers_are_held_small(name: str) -> None:
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & set(service)
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["logging"]["options"]["max-size"]
    assert all(re.search(r":size=\d+[mg]", place) for place in service.get("tmpfs", []))


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_every_server_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@each_service()
def test_what_is_waited_for_is_there(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
        assert how["condition"] == expected, other
        assert "profiles" not in SERVICES[other]


def test_networks_and_volumes_are_declared_and_used() -> None:
    project = compose_project()
    for kind in ("networks", "volumes"):
        named = {entry.partition(":")[0] for service in SERVICES.values() for entry in service.get(kind, [])}
        named = {entry for entry in named if not entry.startswith(("/", "."))} | ({"default"} & set(project[kind]))
        assert named == set(project[kind])


def test_files_that_are_mounted_are_there_and_only_read() -> None:
    mounted = [entry.split(":") for service in SERVICES.values() for entry in service.get("volumes", [])]
    files = [entry for entry in mounted if entry[0].startswith(".")]
    assert files
    for source, _, mode in files:
        assert (INFRA / source).is_file()
        assert mode == "ro"


def test_the_database_is_reached_by_its_servers_alone() -> None:
    assert compose_project()["networks"]["database"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]
    on_it = {name for name, service in SERVICES.items() if "database" in service.get("networks", [])}
    assert on_it == {"postgres", "databases", "prefect-server", "mlflow-tables", "mlflow"}


def test_gpus_are_held_only_by_the_profile() -> None:
    reserved = {name for name, service in SERVICES.items() if "reservations" in service["deploy"]["resources"]}
    assert reserved == {"ray-gpu"} == {name for name, service in SERVICES.items() if "profiles" in service}
    assert SERVICES["ray-gpu"]["profiles"] == ["gpu"]
    (device,) = SERVICES["ray-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "1", "capabilities": ["gpu"]}


def test_each_image_of_ours_is_built_once() -> None:
    builders = {service["image"]: service["build"] for service in SERVICES.values() if "build" in service}
    ours = [service for service in SERVICES.values() if service["image"].startswith("nmt")]
    assert {service["image"] for service in ours} == set(builders)
    # Not from a registry, where anybody could put an image of that name.
    assert all(service["pull_policy"] == ("build" if "build" in service else "never") for service in ours)
    for build in builders.values():
        assert (INFRA / build["context"] / build["dockerfile"]).is_file()
