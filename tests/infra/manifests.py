"""compose.yaml and kubernetes/ as tests look at them: read, filled in, and as one list of what runs where."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import utils, validate  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
KUBERNETES = INFRA / "kubernetes"
SECRET_NAME = re.compile(r"PASSWORD$|SECRET|TOKEN$|AUTH_STRING$|ACCESS_KEY|NOTIFY_URL")
"""What variables are called that no one else may read."""
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<rule>[-+?])(?P<word>[^}]*))?\})")
INVOCATION = re.compile(
    r"^(?:until |exec )?((?:nmt|prefect|mlflow|ray|weed|psql|pg_isready|docker|kubectl)\b[^;|\n]*)", re.M
)
Document = dict[str, Any]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared, not bound

utils.schema_contents = cache(utils.schema_contents)  # Else two megabytes are read for every object.


def check_object(document: Document, version: str) -> None:
    """Raise an error unless an object is of that version's published schemas, without any other field."""
    validate(document, version, strict=True)


def fill_in(value: Any, environment: Mapping[str, str]) -> Any:
    """Return a value of compose.yaml with its variables filled in; KeyError for one that must be set, and is not."""

    def variable(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        value = environment.get(match["name"], "")
        if match["rule"] == "?" and not value:
            raise KeyError(match["name"])
        if match["rule"] == "+":
            return str(match["word"]) if value else ""
        return value or (str(match["word"]) if match["rule"] == "-" else "")

    if isinstance(value, dict):
        return {key: fill_in(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, environment) for each in value]
    return VARIABLE.sub(variable, value) if isinstance(value, str) else value


@cache
def compose_file() -> Document:
    """Return compose.yaml, its variables as they are written, without the parts that are only named to be repeated."""
    content: Document = yaml.safe_load((INFRA / "compose.yaml").read_text("utf8"))
    return {key: value for key, value in content.items() if not key.startswith("x-")}


def compose_secrets() -> set[str]:
    """Return the variables that compose.yaml does not start without."""
    matches = VARIABLE.finditer((INFRA / "compose.yaml").read_text("utf8"))
    return {match["name"] for match in matches if match["rule"] == "?"}


def compose_project(**environment: str) -> Document:
    """Return compose.yaml as Compose sees it, with every secret set."""
    filled: Document = fill_in(compose_file(), dict.fromkeys(compose_secrets(), "user:password") | environment)
    return filled


@cache
def kubernetes_files() -> dict[str, list[Document]]:
    """Return the manifests by the name of their file."""
    paths = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
    return {path.name: list(yaml.safe_load_all(path.read_text("utf8"))) for path in paths}


def kustomization() -> Document:
    content: Document = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf8"))
    return content


def objects(*kinds: str) -> list[Document]:
    """Return the Kubernetes objects, or those of some kinds."""
    found = [document for documents in kubernetes_files().values() for document in documents]
    return [document for document in found if not kinds or document["kind"] in kinds]


@dataclass(frozen=True)
class Pod:
    """A template of pods, whatever makes them."""

    owner: str
    kind: str
    template: Document
    claims: frozenset[str] = frozenset()
    """Volumes that the owner adds."""

    @property
    def spec(self) -> Document:
        spec: Document = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods() -> list[Pod]:
    """Return the templates of all pods."""
    found = []
    for document in objects("Deployment", "StatefulSet", "Job"):
        claims = frozenset(claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", []))
        found.append(Pod(document["metadata"]["name"], document["kind"], document["spec"]["template"], claims))
    for cluster in objects("RayCluster"):
        found.append(Pod("ray-head", "RayCluster", cluster["spec"]["headGroupSpec"]["template"]))
        groups = cluster["spec"]["workerGroupSpecs"]
        found.extend(Pod(f"ray-{group['groupName']}", "RayCluster", group["template"]) for group in groups)
    return found


@dataclass(frozen=True)
class Container:
    """What both places have in common: a command, and an environment."""

    place: str
    name: str
    image: str
    command: tuple[str, ...]
    plain: Mapping[str, str]
    secret: frozenset[str]
    """The names of variables whose values come from outside."""

    @property
    def names(self) -> set[str]:
        return {*self.plain, *self.secret}

    def invocations(self) -> Iterator[list[str]]:
        """Yield the programs that it starts, with their arguments."""
        if self.command[:2] == ("/bin/sh", "-ec"):
            yield from shell_invocations(self.command[2])
        elif self.command[:3] == ("python", "-m", "infra.ray_node"):
            yield list(self.command[3:])
        elif self.command and self.command[0] != "python":
            yield list(self.command)


def shell_invocations(script: str) -> Iterator[list[str]]:
    """Yield the commands of a script that are of interest here, in words."""
    joined = re.sub(r"\\\n\s*", "", script)
    for match in INVOCATION.finditer(re.sub(r"^[ \t]+", "", joined, flags=re.M)):
        yield shlex.split(match[1], comments=True)


def containers() -> list[Container]:
    """Return all containers of both places."""
    filled = compose_project()["services"]
    found = []
    for name, service in compose_file()["services"].items():
        command = (*filled[name].get("entrypoint", ()), *filled[name].get("command", ()))
        environment = service.get("environment", {})
        secret = {key for key, value in environment.items() if ":?" in value or key == "NMT_NOTIFY_URL"}
        plain = {key: value for key, value in filled[name].get("environment", {}).items() if key not in secret}
        found.append(Container("compose", name, without_digest(service["image"]), command, plain, frozenset(secret)))
    maps = {document["metadata"]["name"]: document["data"] for document in objects("ConfigMap")}
    for pod in pods():
        for container in pod.containers:
            plain, secret = {}, set()
            for source in container.get("envFrom", []):
                plain |= maps[source["configMapRef"]["name"]]
            for variable in container.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    secret.add(variable["name"])
                elif "configMapKeyRef" not in variable.get("valueFrom", {}):
                    plain[variable["name"]] = variable["value"]
            command = (*container.get("command", ()), *container.get("args", ()))
            name = f"{pod.owner}/{container['name']}"
            found.append(
                Container("kubernetes", name, without_digest(container["image"]), command, plain, frozenset(secret))
            )
    return found


def without_digest(image: str) -> str:
    """Return an image's name and tag: `make digests` adds the digest of what was behind them."""
    return image.partition("@")[0]


def our_containers() -> list[Container]:
    return [container for container in containers() if container.image.startswith("nmt")]


def environment_without(*names: str) -> dict[str, str]:
    """Return this process's environment without some variables."""
    return {key: value for key, value in os.environ.items() if key not in names}
