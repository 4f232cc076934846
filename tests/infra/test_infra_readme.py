"""infra/README.md: its command makes every secret, and it leaves out no variable, image or file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA, VARIABLE, compose_secrets, containers, objects
from tests.readmes import SHELL, Readme

README = Readme("infra/README.md")
TEXT = README.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the secrets")
def test_its_command_makes_every_secret_anew_and_for_one_user_alone(tmp_path: Path) -> None:
    (block,) = [block for block in README.codes(SHELL) if "openssl" in block]
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        subprocess.run(["bash", "-ec", block], cwd=tmp_path / name, check=True)
        file = tmp_path / name / ".env"
        assert file.stat().st_mode & 0o077 == 0
        files.append(dict(line.split("=", 1) for line in file.read_text("utf8").splitlines()))
    assert set(files[0]) == compose_secrets()
    for name, value in files[0].items():
        assert value != files[1][name]
        assert re.fullmatch(r"(nmt:)?[0-9a-f]{20,64}", value)  # Nothing that a shell, a URL or Compose reads otherwise.
    assert files[0]["NMT_PREFECT_AUTH"].startswith("nmt:")


def test_it_explains_every_variable() -> None:
    matches = VARIABLE.finditer((INFRA / "compose.yaml").read_text("utf8"))
    variables = {match["name"] for match in matches if match["name"]}
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `NMT_"))
    assert set(re.findall(r"`(NMT_\w+)`", table)) == variables


def test_it_names_every_image_that_is_not_ours() -> None:
    base = re.findall(r"^FROM (python:[^\s@]+)", (INFRA / "Dockerfile").read_text("utf8"), flags=re.M)
    images = {container.image for container in containers() if not container.image.startswith("nmt")} | set(base)
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"^\| `([a-z/]+:\S+)` \|", table, flags=re.M)) == images


def test_it_makes_the_secrets_that_kubernetes_is_told_to_use() -> None:
    made = set(re.findall(r"create secret generic ([\w-]+)", TEXT))
    named = set(re.findall(r"secretKeyRef': {'name': '([\w-]+)'", str(objects())))
    assert made == named | {objects("RayCluster")[0]["spec"]["authOptions"]["secretName"]}


def test_it_lists_every_file() -> None:
    listed = set(re.findall(r"`([\w./-]+)`", TEXT.partition("## Files")[2])) - {"README.md"}
    files = {path.name for path in INFRA.iterdir() if path.suffix in {".py", ".yaml", ".ini"}} - {"__init__.py"}
    assert files | {"Dockerfile", "kubernetes/", "pictures/"} <= listed
    assert {name for name in listed if not (INFRA / name).exists()} == set()
