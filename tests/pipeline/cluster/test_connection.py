"""A cluster of our own: the environment of its processes, and its start in the background."""

import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest

from pipeline.cluster import connection
from pipeline.cluster.connection import EarlyStart, _environment, _left, _own_folder, _own_token, ray_cluster
from pipeline.cluster.ray_internals import OWN_CLUSTER, takes_sockets
from pipeline.errors import ExternalError, InputError
from pipeline.store.leftovers import LOCK

NAME = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"


def test_it_is_there_within_and_taken_back_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    with _environment(OWN_CLUSTER, tmp_path):
        assert os.environ[NAME] == OWN_CLUSTER[NAME]
        assert os.environ["TMPDIR"] == str(tmp_path)
    assert NAME not in os.environ
    assert "TMPDIR" not in os.environ


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "7")
    monkeypatch.setenv("TMPDIR", "/var/tmp")  # noqa: S108
    with _environment(OWN_CLUSTER, tmp_path):
        assert os.environ[NAME] == "7"
        assert gettempdir() != str(tmp_path), "that is for other processes"
    assert os.environ[NAME] == "7"
    assert os.environ["TMPDIR"] == "/var/tmp"  # noqa: S108


class Cluster:
    """Stands in for Ray: notes when it is started and ended, and by which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        self.fails: Exception | None = None
        self.up = False
        self.may_start = threading.Event()
        self.may_start.set()
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr("pipeline.cluster.connection.HOLD_SECONDS", 0.01)
        monkeypatch.setattr("pipeline.cluster.connection._connect", self._start)
        monkeypatch.setattr("ray.shutdown", self._end)
        monkeypatch.setattr("ray.is_initialized", lambda: self.up)

    def _start(self, _: str | None) -> None:
        self.may_start.wait(timeout=10)
        if self.fails:
            raise self.fails
        self._note("start", up=True)

    def _end(self) -> None:
        self._note("end", up=False)

    def _note(self, event: str, *, up: bool) -> None:
        self.up = up
        self.events.append((event, threading.current_thread().name))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_an_early_start_is_waited_for_used_and_ended_by_the_thread_that_made_it(cluster: Cluster) -> None:
    """Ray's processes die with the thread that started them."""
    cluster.may_start.clear()
    with EarlyStart() as early:
        early.begin()
        early.begin()
        threading.Timer(0.1, cluster.may_start.set).start()
        with ray_cluster():
            assert cluster.up
        assert cluster.up, "what did not start it does not end it"
        early.end()
    assert cluster.events == [("start", "ray-cluster"), ("end", "ray-cluster")]
    with ray_cluster():
        assert cluster.up
    assert [event for event, _ in cluster.events] == ["start", "end", "start", "end"]


def test_without_a_beginning_there_is_none(cluster: Cluster) -> None:
    with EarlyStart():
        pass
    assert not cluster.events


def test_what_keeps_it_from_starting_is_told_where_it_is_needed(cluster: Cluster) -> None:
    cluster.fails = ExternalError("no room")
    with EarlyStart() as early:
        early.begin()
        with pytest.raises(ExternalError, match="no room"), ray_cluster():
            pass
    assert not cluster.events


def test_a_mistake_that_is_found_at_once_does_not_wait_for_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cluster.connection.HOLD_SECONDS", 60)
    with suppress(InputError), EarlyStart() as early:
        early.begin()
        raise InputError("corpus.path")
    assert not cluster.events


def test_a_cluster_that_is_named_is_not_started(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with EarlyStart() as early:
        early.begin()
    assert not cluster.events


def test_a_cluster_has_a_folder_of_its_own_where_its_sockets_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("/tmp", str(tmp_path / "too-long" / ("x" * 60))):  # noqa: S108
        monkeypatch.setenv("RAY_TMPDIR", given)
        ours = _own_folder()
        assert ours.parent == Path("/tmp")  # noqa: S108
        assert takes_sockets(ours / "ray")
        assert stat.S_IMODE(ours.stat().st_mode) == 0o700, "nobody else's"
        _left.close()
        assert not ours.exists()


HELD = """
import sys, time
from pipeline.cluster.connection import _own_folder
print(_own_folder(), flush=True)
time.sleep(600)
"""


def test_what_a_killed_driver_left_is_removed_by_the_next_cluster_and_no_other() -> None:
    command = [sys.executable, "-c", HELD]
    with (
        TemporaryDirectory(dir="/tmp", prefix="t") as short,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", short)
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as alive,
        ):
            assert killed.stdout is not None
            assert alive.stdout is not None
            folders = [Path(stream.readline().strip()) for stream in (killed.stdout, alive.stdout)]
            for folder in folders:
                os.utime(folder / LOCK, (0, 0))
            killed.kill()
            killed.wait()
            ours = _own_folder()
            assert {path.name for path in Path(short).iterdir()} == {folders[1].name, ours.name}
            _left.close()
            alive.kill()


def test_a_temporary_folder_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    monkeypatch.setattr(connection, "SHORT_FOLDERS", (str(tmp_path / "file"),))
    with pytest.raises(ExternalError, match=r"^TMPDIR: .*file is a file; set RAY_TMPDIR to a short one that can be"):
        _own_folder()


def test_the_token_of_a_cluster_is_in_a_file_of_its_user_or_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _own_token() == {}
    token = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    token.chmod(0o644)
    assert _own_token() == {}
    assert stat.S_IMODE(token.stat().st_mode) == 0o600, "Ray made it, readable by all"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    first, second = _own_token(), _own_token()
    assert first != second
    assert len(first["RAY_AUTH_TOKEN"]) == 64


def test_a_cluster_starts_whatever_the_temporary_folder_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 20)))
    with TemporaryDirectory(dir="/tmp", prefix="t") as short:
        monkeypatch.setattr(connection, "SHORT_FOLDERS", (short,))
        with ray_cluster():
            (logs,) = Path(short).glob("nmt-ray-*/ray/session_2*/logs")
            assert (logs.parent / "sockets").is_dir()
            assert {stat.S_IMODE(log.stat().st_mode) & 0o077 for log in logs.glob("*.log")} == {0}
        assert not [*Path(short).iterdir()]
    assert not (tmp_path / ("long" * 20)).exists()


def test_a_cluster_of_our_own_that_does_not_start_is_not_said_to_be_at_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no room for a socket")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", fails)
    with (
        pytest.raises(ExternalError, match=r"^Ray did not start on this machine \(no room for a socket\)"),
        ray_cluster(),
    ):
        pass
