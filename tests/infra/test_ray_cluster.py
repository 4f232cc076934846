"""The RayCluster, field by field: KubeRay publishes no schema outside its operator, but documents every field.

The tables are from the reference of KubeRay v1.7, https://docs.ray.io/en/master/kuberay/references/api.html, less what
this project has no use for.
"""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pytest

from tests.infra.manifests import Document, check_object, objects

TEXTS = Mapping[str, str]
FIELDS: dict[str, dict[str, Any]] = {
    "RayCluster": {"apiVersion": str, "kind": str, "metadata": dict, "spec": "RayClusterSpec"},
    "RayClusterSpec": {
        "upgradeStrategy": "RayClusterUpgradeStrategy",
        "authOptions": "AuthOptions",
        "suspend": bool,
        "managedBy": str,
        "autoscalerOptions": "AutoscalerOptions",
        "headServiceAnnotations": TEXTS,
        "enableInTreeAutoscaling": bool,
        "headGroupSpec": "HeadGroupSpec",
        "rayVersion": str,
        "workerGroupSpecs": ["WorkerGroupSpec"],
    },
    "RayClusterUpgradeStrategy": {"type": {"Recreate", "None"}},
    "AuthOptions": {"enableK8sTokenAuth": bool, "secretName": str, "mode": {"disabled", "token"}},
    "AutoscalerOptions": {
        "resources": dict,
        "image": str,
        "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
        "securityContext": dict,
        "idleTimeoutSeconds": int,
        "upscalingMode": {"Default", "Aggressive", "Conservative"},
        "version": {"v1", "v2"},
        "env": list,
        "envFrom": list,
        "volumeMounts": list,
        "command": list,
        "args": list,
    },
    "HeadGroupSpec": {
        "template": "PodTemplateSpec",
        "enableIngress": bool,
        "resources": TEXTS,
        "labels": TEXTS,
        "rayStartParams": TEXTS,
        "serviceType": {"ClusterIP"},  # The others would open the cluster to the outside.
    },
    "WorkerGroupSpec": {
        "groupName": str,
        "replicas": int,
        "minReplicas": int,
        "maxReplicas": int,
        "idleTimeoutSeconds": int,
        "priority": int,
        "resources": TEXTS,
        "labels": TEXTS,
        "rayStartParams": TEXTS,
        "template": "PodTemplateSpec",
        "numOfHosts": int,
    },
}
REQUIRED = {
    "RayCluster": {"apiVersion", "kind", "metadata", "spec"},
    "RayClusterSpec": {"headGroupSpec", "rayVersion"},
    "HeadGroupSpec": {"template"},
    "WorkerGroupSpec": {"groupName", "template", "minReplicas", "maxReplicas"},
}
(CLUSTER,) = objects("RayCluster")
SPEC: Document = CLUSTER["spec"]
TEMPLATES = [SPEC["headGroupSpec"]["template"], *(group["template"] for group in SPEC["workerGroupSpecs"])]


def problems(value: Any, kind: Any, where: str) -> list[str]:
    """Return what is wrong with a value of a kind, each with its place."""
    if kind == "PodTemplateSpec":
        return []  # Kubernetes' own: below.
    if isinstance(kind, str):
        if not isinstance(value, dict):
            return [f"{where}: no {kind}"]
        wrong = [f"{where}.{key}: {kind} has no such field" for key in set(value) - set(FIELDS[kind])]
        wrong += [f"{where}.{key}: missing" for key in REQUIRED.get(kind, set()) - set(value)]
        for key in set(value) & set(FIELDS[kind]):
            wrong += problems(value[key], FIELDS[kind][key], f"{where}.{key}")
        return wrong
    if isinstance(kind, list):
        return [each for n, entry in enumerate(value) for each in problems(entry, kind[0], f"{where}[{n}]")]
    if isinstance(kind, set):
        return [] if value in kind else [f"{where}: {value} is not one of {sorted(kind)}"]
    if kind is TEXTS:
        fits = isinstance(value, dict) and all(isinstance(each, str) for each in (*value, *value.values()))
        return [] if fits else [f"{where}: not a map of texts"]
    return [] if type(value) is kind else [f"{where}: {value!r} is no {kind.__name__}"]


def test_every_field_is_one_of_kuberays() -> None:
    assert problems(CLUSTER, "RayCluster", CLUSTER["metadata"]["name"]) == []
    assert CLUSTER["apiVersion"] == "ray.io/v1"


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["spec"]["serviceAccountName"])
def test_its_pods_are_of_kubernetes_schema(template: Document, version: str) -> None:
    check_object({"apiVersion": "v1", "kind": "Pod", **template}, version)
    # What KubeRay's own checks ask for, with an autoscaler of version 2.
    assert "restartPolicy" not in template["spec"]


def test_the_autoscalers_container_is_of_kubernetes_schema() -> None:
    options = SPEC["autoscalerOptions"]
    of_container = {key: options[key] for key in ("resources", "securityContext", "env", "volumeMounts")}
    container = {"name": "autoscaler", "image": "nmt", **of_container}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}}
    check_object(pod, "1.37")
    assert options["securityContext"] == TEMPLATES[0]["spec"]["containers"][0]["securityContext"]


def test_all_nodes_have_the_version_of_the_drivers() -> None:
    assert SPEC["rayVersion"] == metadata.version("ray")


def test_nobody_joins_without_the_token() -> None:
    assert SPEC["authOptions"] == {"mode": "token", "secretName": "nmt-ray"}
    for template in TEMPLATES:
        names = {entry["name"] for container in template["spec"]["containers"] for entry in container["env"]}
        assert not {name for name in names if name.startswith("RAY_AUTH")}  # It would win over the operator's.


def test_workers_come_and_go_and_gpus_are_not_held() -> None:
    assert SPEC["enableInTreeAutoscaling"] is True
    for group in SPEC["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["minReplicas"] < group["maxReplicas"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (group["groupName"] == "gpu")
        if group["groupName"] == "gpu":
            assert group["minReplicas"] == 0


def test_no_training_is_done_on_the_head() -> None:
    assert SPEC["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_autoscaler_alone_may_ask_kubernetes() -> None:
    (mount,) = [m for m in SPEC["autoscalerOptions"]["volumeMounts"] if "serviceaccount" in m["mountPath"]]
    assert mount["readOnly"] is True
    head = TEMPLATES[0]["spec"]
    (volume,) = [volume for volume in head["volumes"] if volume["name"] == mount["name"]]
    paths = {
        item["path"]
        for source in volume["projected"]["sources"]
        for each in source.values()
        for item in each.get("items", [each])
    }
    assert paths == {"token", "ca.crt", "namespace"}
    assert mount["name"] not in {m["name"] for container in head["containers"] for m in container["volumeMounts"]}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec", "autoscalerOption"), {}, "autoscalerOption: RayClusterSpec has no such field"),
        (("spec", "authOptions", "mode"), "tokens", "tokens is not one of"),
        (("spec", "headGroupSpec", "serviceType"), "LoadBalancer", "LoadBalancer is not one of"),
        (("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0, "not a map of texts"),
        (("spec", "workerGroupSpecs", 0, "minReplicas"), "1", "'1' is no int"),
    ],
)
def test_what_kuberay_would_refuse_is_found(path: tuple[Any, ...], value: Any, message: str) -> None:
    (broken,) = problems(_with(CLUSTER, path, value), "RayCluster", "nmt")
    assert message in broken


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value at a place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else dict(enumerate(document))
    copy[path[0]] = _with(copy.get(path[0]), path[1:], value)
    return copy if isinstance(document, dict) else list(copy.values())
