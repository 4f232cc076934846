"""Who may talk to whom on Kubernetes, as its network policies add up."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.manifests import Document, Pod, objects, pods

PODS = {pod.owner: pod for pod in pods()}
RAY = ("ray-head", "ray-cpu", "ray-gpu", "prefect-worker")
DATABASE, STORE, PREFECT, MLFLOW = (
    ("postgres", 5432),
    ("object-store", 8333),
    ("prefect-server", 4200),
    ("mlflow", 5000),
)
NEEDED = {
    *((pod, *DATABASE) for pod in ("prefect-server", "mlflow", "setup")),
    *((pod, *STORE) for pod in (*RAY, "mlflow", "setup")),
    *((pod, *PREFECT) for pod in ("prefect-worker", "setup")),
    *((pod, *MLFLOW) for pod in ("prefect-worker", "setup")),
}
SERVERS = (DATABASE, STORE, PREFECT, MLFLOW)


def selects(selector: Document, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector chooses a pod."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return all(labels.get(expression["key"]) in expression["values"] for expression in expressions)


def allows(rules: list[Document], side: str, other: Pod, port: int) -> bool:
    """Return whether one of a policy's rules lets traffic of this port pass from or to the other pod."""

    def peer(peers: list[Any]) -> bool:
        own = [each for each in peers if "podSelector" in each and "namespaceSelector" not in each]
        return any(selects(each["podSelector"], other.labels) for each in own)

    return any(
        ("ports" not in rule or port in {entry["port"] for entry in rule["ports"]})
        and (side not in rule or peer(rule[side]))
        for rule in rules
    )


def may_leave(source: str, target: str, port: int) -> bool:
    """Return whether a pod's policies let it call another."""
    return _permits("egress", "to", PODS[source], PODS[target], port)


def may_enter(source: str, target: str, port: int) -> bool:
    """Return whether a pod's policies let it be called by another."""
    return _permits("ingress", "from", PODS[target], PODS[source], port)


def _permits(direction: str, side: str, pod: Pod, other: Pod, port: int) -> bool:
    specs = [policy["spec"] for policy in objects("NetworkPolicy")]
    chosen = [spec[direction] for spec in specs if direction in spec and selects(spec["podSelector"], pod.labels)]
    return any(allows(rules, side, other, port) for rules in chosen)


def test_what_is_not_allowed_is_denied() -> None:
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [d["spec"] for d in objects("NetworkPolicy")]
    for policy in objects("NetworkPolicy"):
        spec = policy["spec"]
        assert {kind for kind in ("Ingress", "Egress") if kind.lower() in spec} <= set(spec["policyTypes"])


@pytest.mark.parametrize("source", PODS)
def test_each_server_is_called_by_those_who_need_it(source: str) -> None:
    others = [server for server in SERVERS if server[0] != source]
    needed = {connection for connection in NEEDED if connection[0] == source}
    assert {(source, *server) for server in others if may_leave(source, *server)} == needed
    assert {(source, *server) for server in others if may_enter(source, *server)} == needed


@pytest.mark.parametrize("source", PODS)
def test_rays_nodes_talk_to_each_other_on_any_port(source: str) -> None:
    for allowed in (may_leave, may_enter):
        reached = {target for target in PODS for port in (6379, 34567) if allowed(source, target, port)}
        assert reached == (set(RAY) if source in RAY else set())


def test_names_are_resolved_by_all() -> None:
    (names,) = [policy["spec"] for policy in objects("NetworkPolicy") if policy["metadata"]["name"] == "names"]
    assert names["podSelector"] == {}
    assert {(port["protocol"], port["port"]) for port in names["egress"][0]["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_the_world_is_called_over_https_by_those_who_need_it() -> None:
    outside: dict[str, set[int]] = {}
    for policy in objects("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            if "to" not in rule or any("ipBlock" in peer for peer in rule["to"]):
                chosen = [n for n, pod in PODS.items() if selects(policy["spec"]["podSelector"], pod.labels)]
                for name in chosen:
                    outside.setdefault(name, set()).update(port["port"] for port in rule["ports"])
    assert outside.pop("ray-head") == {443, 6443}  # Its autoscaler calls Kubernetes.
    expected = ("ray-cpu", "ray-gpu", "prefect-worker", "mlflow", "prefect-server", "setup")
    assert outside == {name: {443} for name in expected}


def test_every_policy_is_for_somebody() -> None:
    for policy in objects("NetworkPolicy"):
        assert any(selects(policy["spec"]["podSelector"], pod.labels) for pod in PODS.values()), policy["metadata"]
