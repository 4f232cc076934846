"""What the servers of this machine are started with."""

from pathlib import Path

import pytest

from infra.options import StackOptions
from infra.secrets import make_prefect_auth
from infra.services import LONGEST_RAY_FOLDER, RAY, services
from pipeline.cluster.ray_internals import takes_sockets


def ray_folder(folder: Path) -> str | None:
    make_prefect_auth(folder)
    return services(StackOptions(), folder)[RAY].environment.get("RAY_TMPDIR")


def test_ray_gets_a_short_folder_where_the_temporary_one_will_not_do(
    tmp_path: Path, nmt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nmt_home
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    assert ray_folder(tmp_path) is None
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108
    assert ray_folder(tmp_path) is None
    (tmp_path / "file").write_text("")
    for unusable in (tmp_path / ("x" * 40), tmp_path / "file"):
        monkeypatch.setenv("TMPDIR", str(unusable))
        assert ray_folder(tmp_path) == "/tmp"  # noqa: S108


def test_the_limit_is_that_of_the_sockets() -> None:
    longest = "/" + "x" * (LONGEST_RAY_FOLDER - 1)
    assert takes_sockets(Path(longest) / "ray")
    assert not takes_sockets(Path(f"{longest}x") / "ray")
