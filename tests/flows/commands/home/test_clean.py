"""`nmt clean` shows what runs have left, removes it on request, and nothing that somebody needs."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner, Result

from flows.commands.app import app
from pipeline.cluster.ray_internals import ended_sessions
from pipeline.store.artifact_folder import temporary_folder

HOST, LONG_AGO = socket.gethostname(), (0, 0)
FINGERPRINT = "a" * 64
KEPT = (
    *("mlflow.db", "mlartifacts/1/models/m-1/weights", "registry.lock", "stack/prefect.db", "stack/stack.json.new"),
    *(f"store/corpus/{FINGERPRINT}/train.jsonl", "ray/training-1/checkpoint_1/model", "ray/training-1.jsonl"),
    *("translations/2/young.answers.json", "prefect/prefect.db", "prefect/profiles.damaged-of-somebody-else"),
)
REMOVED = (
    f"store/training/.{FINGERPRINT[:12]}-{HOST}-{2**22 - 1}-abcdefgh/half",
    f"store/corpus/{FINGERPRINT}.damaged-20261130T120000000000/train.jsonl",
    *(
        "mlflow.db.damaged-20261130T120000000000",
        "mlflow.db.before-abc",
        "ray/training-1.damaged-1234abcd/checkpoint_1/m",
    ),
    *(
        ".mlflow.db-abcdefgh/mlflow.db",
        ".bundle-abcdefgh/model.safetensors",
        "stack/.prefect.db-abcdefgh/prefect.db",
        "stack/logs/ray.log",
    ),
    *("translations/1/old.answers.json", "prefect/prefect.db.before-abc", "prefect/prefect.db.damaged-20261130"),
)


@pytest.fixture
def home(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which everything is that runs leave; nothing in the temporary folder."""
    monkeypatch.setattr("pipeline.cluster.connection.ended_clusters", list)
    monkeypatch.setenv("PREFECT_HOME", str(nmt_home / "prefect"))
    for name in (*KEPT, *REMOVED):
        path = nmt_home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 5000)
    for path in sorted(nmt_home.rglob("*"), reverse=True):
        if "young" not in path.name and path.name != "2":
            os.utime(path, LONG_AGO)
    return nmt_home


def nmt_clean(*options: str) -> Result:
    return CliRunner().invoke(app, ["clean", *options])


def there(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def test_without_yes_it_only_shows(home: Path) -> None:
    shown = nmt_clean()
    assert shown.exit_code == 0, shown.output
    assert there(home) == {*KEPT, *REMOVED}
    listed = [line.split()[-1] for line in shown.stdout.splitlines() if str(home) in line]
    assert [name for name in REMOVED if not any(str(home / name).startswith(path) for path in listed)] == []
    assert not [name for name in KEPT if any(str(home / name).startswith(path) for path in listed)]
    assert "`nmt clean --yes` removes" in shown.stderr


def test_what_is_shown_is_removed_and_nothing_else(home: Path) -> None:
    assert nmt_clean("--yes").exit_code == 0
    assert there(home) == {*KEPT}
    assert "there is nothing to remove" in nmt_clean("--yes").stderr


def test_what_is_in_use_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stack:
        alive = ("ray",)

    monkeypatch.setattr("infra.running_stack.find_stack", Stack)
    with temporary_folder(home / "store" / "training" / FINGERPRINT) as folder:
        (folder / "half").write_text("being made")
        assert nmt_clean("--yes").exit_code == 0
        assert (folder / "half").exists()
    assert (home / "stack/logs/ray.log").exists(), "the server writes to it"


def test_sessions_of_ray_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(dir="/tmp", prefix="t") as short, socket.socket(socket.AF_UNIX) as alive:
        monkeypatch.setenv("RAY_TMPDIR", short)
        for name in ("session_2026-1", "session_2026-2", "session_2026-3", "session_2026-4"):
            (Path(short) / "ray" / name / "sockets").mkdir(parents=True)
        alive.bind(f"{short}/ray/session_2026-1/sockets/raylet")
        alive.listen()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{short}/ray/session_2026-2/sockets/raylet")
        for name in ("session_2026-1", "session_2026-2", "session_2026-3"):
            os.utime(Path(short) / "ray" / name, LONG_AGO)
        assert {path.name for path in ended_sessions()} == {"session_2026-2", "session_2026-3"}
