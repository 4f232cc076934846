"""kubernetes/: its objects are of Kubernetes' schemas, name only what is there, and hold no rights and no secrets."""

import re
from typing import Any

import pytest

from tests.infra.manifests import (
    KUBERNETES,
    SECRET_NAME,
    Document,
    Pod,
    check_object,
    compose_secrets,
    kubernetes_files,
    kustomization,
    objects,
    pods,
)

OLDEST, NEWEST = "1.30", "1.37"
"""Versions of Kubernetes: the manifests are for these and what is between."""
PODS = pods()
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
SECRETS = {"nmt": compose_secrets() | {"NMT_NOTIFY_URL"}, "nmt-ray": {"auth_token"}}
"""What infra/README.md has made by hand: the file of compose.yaml's secrets, and Ray's token under KubeRay's name."""


def named(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def each_pod() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.owner)


def references(value: Any, key: str) -> list[Any]:
    """Return the values of a key, wherever it is."""
    if isinstance(value, dict):
        found = [value[key]] if key in value else []
        return found + [each for entry in value.values() for each in references(entry, key)]
    return [each for entry in value for each in references(entry, key)] if isinstance(value, list) else []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("document", [d for d in objects() if d["kind"] != "RayCluster"], ids=named)
def test_objects_are_of_the_published_schemas(document: Document, version: str) -> None:
    check_object(document, version)


def test_the_kustomization_lists_every_file() -> None:
    content = kustomization()
    assert sorted(content["resources"]) == sorted(kubernetes_files())
    generated = [file for generator in content["configMapGenerator"] for file in generator["files"]]
    others = {path.name for path in KUBERNETES.iterdir()} - set(kubernetes_files()) - {"kustomization.yaml"}
    assert set(generated) == others
    assert content["namespace"] == next(d["metadata"]["name"] for d in objects("Namespace"))
    images = {container["image"].partition(":")[0] for pod in PODS for container in pod.containers}
    assert {image["name"] for image in content["images"]} == {image for image in images if image.startswith("nmt")}


def test_names_are_unique() -> None:
    names = [named(document) for document in objects()]
    assert len(names) == len(set(names))


def test_there_are_no_secrets() -> None:
    assert objects("Secret") == []
    assert "secretGenerator" not in kustomization()
    for pod in PODS:
        for variable in references(pod.template, "env"):
            for entry in variable:
                if SECRET_NAME.search(entry["name"]) or entry["name"] == "PGPASSWORD":
                    assert set(entry["valueFrom"]) == {"secretKeyRef"}, entry
                assert not re.search(r"//[^/@]*:[^/@]*@", entry.get("value", "")), entry
    for document in objects("ConfigMap"):
        assert not [key for key in document["data"] if SECRET_NAME.search(key)]


@each_pod()
def test_what_a_pod_names_is_there(pod: Pod) -> None:
    generated = {generator["name"]: set(generator["files"]) for generator in kustomization()["configMapGenerator"]}
    maps = {d["metadata"]["name"]: set(d["data"]) for d in objects("ConfigMap")} | generated
    maps |= {"kube-root-ca.crt": {"ca.crt"}}  # Kubernetes puts it into every namespace.
    accounts = {document["metadata"]["name"] for document in objects("ServiceAccount")}
    assert pod.spec["serviceAccountName"] in accounts
    for reference in references(pod.template, "configMapRef"):
        assert reference["name"] in maps
    for reference in references(pod.template, "configMapKeyRef"):
        assert reference["key"] in maps[reference["name"]]
    for reference in references(pod.template, "secretKeyRef"):
        assert reference["key"] in SECRETS[reference["name"]]
        assert reference.get("optional", False) == (reference["key"] == "NMT_NOTIFY_URL")
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    mounted = {mount["name"] for mounts in references(pod.template, "volumeMounts") for mount in mounts}
    if pod.owner == "ray-head":
        mounted |= {mount["name"] for mount in objects("RayCluster")[0]["spec"]["autoscalerOptions"]["volumeMounts"]}
    assert mounted == set(volumes) | pod.claims
    for source in references(list(volumes.values()), "configMap"):
        assert source["name"] in maps
        assert {item["key"] for item in source.get("items", [])} <= maps[source["name"]]


@each_pod()
def test_pods_are_what_the_namespace_admits(pod: Pod) -> None:
    context = pod.spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["runAsGroup"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec)
    assert pod.spec.get("restartPolicy") == ("OnFailure" if pod.kind == "Job" else None)
    assert not [volume for volume in pod.spec.get("volumes", []) if "hostPath" in volume]
    for container in pod.containers:
        assert container["securityContext"] == RESTRICTED, container["name"]


def test_the_namespace_admits_nothing_less() -> None:
    (namespace,) = objects("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_pod()
def test_no_pod_has_rights_in_the_cluster(pod: Pod) -> None:
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["enableServiceLinks"] is False  # Else a service's name becomes a setting, such as MLFLOW_PORT.
    projected = {v["name"] for v in pod.spec.get("volumes", []) if "serviceAccountToken" in str(v.get("projected"))}
    assert not projected & {mount["name"] for mounts in references(pod.template, "volumeMounts") for mount in mounts}
    assert all(account["automountServiceAccountToken"] is False for account in objects("ServiceAccount"))
    assert objects("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") == []


@each_pod()
def test_every_container_has_requests_and_limits(pod: Pod) -> None:
    for container in pod.containers:
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])
    for volume in pod.spec.get("volumes", []):
        assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"]


@each_pod()
def test_every_server_has_probes(pod: Pod) -> None:
    for container in pod.spec["containers"]:
        probes = {key for key in container if key.endswith("Probe")}
        # A job has none to answer; KubeRay gives Ray's containers their own.
        expected = pod.kind not in {"Job", "RayCluster"}
        assert probes == ({"startupProbe", "readinessProbe", "livenessProbe"} if expected else set())
        ports = {port["name"] for port in container.get("ports", [])}
        assert {probe["port"] for probe in references(container, "httpGet")} <= ports


def test_services_lead_to_pods_and_nowhere_outside() -> None:
    for service in objects("Service"):
        spec = service["spec"]
        assert spec.get("type", "ClusterIP") == "ClusterIP"
        behind = [pod for pod in PODS if spec["selector"].items() <= pod.labels.items()]
        assert len(behind) == 1, named(service)
        ports = {port["name"] for container in behind[0].containers for port in container.get("ports", [])}
        assert {port["targetPort"] for port in spec["ports"]} <= ports
    assert objects("Ingress") == []
    for workload in objects("Deployment", "StatefulSet"):
        template = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= template.items()


def test_servers_are_called_by_names_that_are_there() -> None:
    known = {(s["metadata"]["name"], port["port"]) for s in objects("Service") for port in s["spec"]["ports"]}
    cluster = objects("RayCluster")[0]["metadata"]["name"]
    known |= {(f"{cluster}-head-svc", 6379), ("localhost", 4200)}  # KubeRay's; the browser's, through a tunnel.
    called = set()
    for text in [value for document in objects("ConfigMap") for value in document["data"].values()]:
        called |= {(host, int(port)) for host, port in re.findall(r"(?:^|[/@])([a-z][\w.-]*):(\d+)", text)}
    for pod in PODS:
        for entry in [entry for env in references(pod.template, "env") for entry in env if "value" in entry]:
            called |= {(host, int(port)) for host, port in re.findall(r"[/@]([a-z][\w.-]*):(\d+)", entry["value"])}
            called |= {(entry["value"], 5432)} if entry["name"] == "PGHOST" else set()
    assert called == known
