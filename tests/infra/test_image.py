"""The Dockerfile: pinned, without root, without what it does not need, and with every file that it names."""

import os
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import yaml

from infra.services import NO_TELEMETRY
from tests.infra.manifests import INFRA, ROOT, compose_file, objects, pods

TEXT = (INFRA / "Dockerfile").read_text("utf8")
LINES = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]
STAGES = [rest for word, rest in INSTRUCTIONS if word == "FROM"]
FINAL = INSTRUCTIONS[max(n for n, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def test_bases_are_pinned_and_one() -> None:
    stages = {stage.partition(" AS ")[2] for stage in STAGES} - {""}
    bases = [stage.partition(" AS ")[0] for stage in STAGES]
    outside = {base for base in bases if base not in stages and base != "torch-${VARIANT}"}
    assert len(outside) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", outside.pop())
    assert {"torch-cpu", "torch-cuda"} <= stages


def test_both_variants_are_built_by_both_places() -> None:
    variants = {s["build"]["args"]["VARIANT"]: s["image"] for s in compose_file()["services"].values() if "build" in s}
    assert {variant: image.partition(":")[0] for variant, image in variants.items()} == {
        "cpu": "nmt",
        "cuda": "nmt-cuda",
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in TEXT
    assert {image.partition(":")[2] for image in variants.values()} == {version}


def test_digests_are_added_to_every_image_that_is_not_ours_and_replaced(tmp_path: Path) -> None:
    files = [*INFRA.glob("Dockerfile"), *INFRA.glob("*.yaml"), *INFRA.glob("kubernetes/*.yaml")]
    for file in files:
        (tmp_path / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    for digest in ("a" * 64, "b" * 64):
        (tmp_path / "docker").write_text(f"#!/bin/sh\necho sha256:{digest}\n")
        (tmp_path / "docker").chmod(0o700)
        command = ["make", "--silent", "--file", str(ROOT / "Makefile"), "digests"]
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, capture_output=True)
    changed = "".join((tmp_path / file.relative_to(ROOT)).read_text("utf8") for file in files)
    assert changed.replace(f"@sha256:{'b' * 64}", "") == "".join(file.read_text("utf8") for file in files)
    named = re.findall(r"(?:FROM|image:) ((?:python|postgres|chrislusf/seaweedfs):\S+)", changed)
    assert all(image.endswith(f"@sha256:{'b' * 64}") for image in named)
    assert len(named) > 6
    assert not list(tmp_path.rglob("*.old"))


def test_it_runs_without_root_and_by_number() -> None:
    (user,) = [rest for word, rest in FINAL if word == "USER"]
    number, _, group = user.partition(":")
    assert int(number) == int(group) > 0
    assert f"--uid {number} " in TEXT
    assert [word for word, _ in FINAL].index("USER") > max(
        n for n, (word, _) in enumerate(FINAL) if word in {"RUN", "COPY"}
    )
    assert {pod.spec["securityContext"]["runAsUser"] for pod in pods() if "nmt:" in str(pod.spec)} == {int(number)}
    ours = [service for service in compose_file()["services"].values() if service["image"].startswith("nmt")]
    assert {service["user"] for service in ours} == {user}


def test_versions_are_those_of_the_lock() -> None:
    installs = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    for install in installs:
        assert "requirements.lock" in install or "--no-index" in install, install
    assert any("download.pytorch.org/whl/cpu" in install and "--no-deps" in install for install in installs)
    assert not re.search(r"\b(apt-get|curl|wget|git)\b|--extra-index-url|ADD ", TEXT)


def ignored(path: str) -> bool:
    """Return whether the build context lacks a path: the last pattern that fits it, or a folder above it, decides."""
    names = path.split("/")
    paths = ["/".join(names[: n + 1]) for n in range(len(names))]
    outcome = False
    for line in (INFRA / "Dockerfile.dockerignore").read_text("utf8").splitlines():
        pattern = line.removeprefix("!")
        fits = names if pattern.startswith("**/") else paths
        if line and not line.startswith("#") and any(fnmatch(each, pattern.removeprefix("**/")) for each in fits):
            outcome = not line.startswith("!")
    return outcome


def test_what_is_copied_is_there() -> None:
    copies = [rest.split() for word, rest in INSTRUCTIONS if word == "COPY" and not rest.startswith("--from")]
    sources = [source for words in copies for source in words[:-1]]
    assert {"requirements.lock", "pyproject.toml", "README.md", "model", "pipeline", "flows", "infra"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["tool"]["setuptools"]["packages"]
    assert {pattern.removesuffix("*") for pattern in packages["find"]["include"]} <= set(sources)


def test_secrets_and_what_is_not_needed_stay_outside() -> None:
    for path in (
        "infra/.env",
        "infra/nmt.sql",
        "infra/objects.tar.gz",
        ".git/config",
        ".nmt/mlflow.db",
        "tests/conftest.py",
        "flows/__pycache__/cli.pyc",
    ):
        assert ignored(path), path
    assert (INFRA / ".gitignore").read_text("utf8").splitlines()[-1] == ".env"


def test_it_reports_nothing_and_writes_where_it_may() -> None:
    environment = dict(pair.partition("=")[::2] for word, rest in FINAL if word == "ENV" for pair in rest.split())
    assert environment.items() >= NO_TELEMETRY.items()
    for name in ("MPLCONFIGDIR", "PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY", "NMT_HOME", "HF_HOME"):
        assert environment[name].startswith(("/tmp/", "/var/lib/nmt")), name  # noqa: S108 - compared, not used


def test_servers_find_their_files_in_it() -> None:
    named = set(re.findall(r"/etc/nmt/([\w.-]+)", yaml.safe_dump([compose_file(), *objects()])))
    (copied,) = [rest.split() for word, rest in FINAL if word == "COPY" and rest.endswith("/etc/nmt/")]
    assert {path.rpartition("/")[2] for path in copied[:-1]} == named
