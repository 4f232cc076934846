"""The record of a stack: this user's own, of this machine, whole; and told apart from processes of the same number."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.options import MLFLOW_SECRETS, StackOptions
from infra.processes import MARK, SERVER, Handle
from infra.running_stack import Running, Stack, find_stack, folder, record, use_running_stack
from infra.secrets import PREFECT_AUTH, PREFECT_SERVER_AUTH, make_prefect_auth
from infra.services import NAMES, services
from infra.stack import bring_up
from pipeline.errors import ExternalError, InputError
from pipeline.store.writable import check_home

VARIABLES = ("PREFECT_API_URL", PREFECT_AUTH, "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")


@pytest.fixture
def stack(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose servers are all this process."""
    assert nmt_home
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    folder().mkdir(parents=True)
    make_prefect_auth(folder())
    found = Stack("mark", StackOptions(), {name: Running(name, os.getpid(), "", Path("log")) for name in NAMES})
    found.write()
    monkeypatch.setattr("infra.processes._belongs", lambda *_: True)
    return found


def change(**content: Any) -> None:
    record().write_text(json.dumps(json.loads(record().read_text("utf8")) | content), "utf8")


def test_programs_are_pointed_at_it(stack: Stack) -> None:
    assert find_stack() == stack
    use_running_stack()
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert os.environ[PREFECT_AUTH].startswith("nmt:")
    assert os.environ["RAY_ADDRESS"] == "127.0.0.1:6379"


def test_no_secret_goes_to_a_server_that_the_user_has_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    monkeypatch.setenv("RAY_ADDRESS", "ray.example:6379")
    use_running_stack()
    assert PREFECT_AUTH not in os.environ
    assert "RAY_AUTH_MODE" not in os.environ
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


@pytest.mark.parametrize("host", ["192.0.2.7", "evil.example"])
def test_one_that_names_another_machine_is_refused(stack: Stack, host: str) -> None:
    """As in a folder that somebody else has prepared: Prefect, MLflow, Ray and the secrets would be theirs."""
    change(options=stack.options.public() | {"host": host})
    with pytest.raises(InputError, match=rf"stack\.json: the servers are at {host}, not on this machine"):
        use_running_stack()
    assert not set(VARIABLES) & set(os.environ)


def test_one_of_another_user_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match=r"stack\.json: it belongs to \w+"):
        use_running_stack()


def test_a_default_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `.nmt` in /tmp: its models are code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NMT_HOME", raising=False)
    (tmp_path / ".nmt").mkdir()
    check_home()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match=r"\.nmt: it belongs to \w+; set NMT_HOME to a folder of your own"):
        check_home()
    monkeypatch.setenv("NMT_HOME", str(tmp_path / ".nmt"))
    check_home()


def test_an_empty_stack_is_none(stack: Stack) -> None:
    assert stack
    change(running={})
    assert find_stack() is None
    use_running_stack()
    assert "PREFECT_API_URL" not in os.environ


@pytest.mark.parametrize(
    "damage",
    [
        lambda: record().write_text(""),
        lambda: record().write_text("[]"),
        lambda: change(options={"nonsense": 1}),
        lambda: change(running={"ray": {"pid": 1}}),
        lambda: change(running=None),
    ],
)
def test_a_record_that_is_none_is_one_line(stack: Stack, damage: Callable[[], None]) -> None:
    assert stack
    damage()
    with pytest.raises(InputError, match=r"stack\.json: it is no record of servers"):
        find_stack()


def test_a_part_that_has_ended_is_an_error_and_not_another_database(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.processes._belongs", lambda _, mark, name: name != "mlflow")
    assert "mlflow" not in stack.alive
    with pytest.raises(ExternalError, match="of the servers that `nmt up` started, mlflow does not run"):
        use_running_stack()


def test_a_process_is_told_by_its_environment_whatever_the_clock() -> None:
    """By its start it would be taken for another as soon as somebody sets the clock."""
    environment = os.environ | {MARK: "mark", SERVER: "mlflow"}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=subprocess.PIPE) as process:
        assert Handle(process.pid, "mark", "mlflow").process() is not None
        assert Handle(process.pid, "mark", "prefect").process() is None
        assert Handle(process.pid, "another", "mlflow").process() is None
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    assert Handle(process.pid, "mark", "mlflow").process() is None


def test_serving_imports_ray_after_it_knows_the_stack(tmp_path: Path) -> None:
    """Ray reads as it is imported whether to send the token that the stack's cluster asks for."""
    program = """
import sys
import infra.running_stack
from flows.commands.serve import serve_until_stopped
infra.running_stack.use_running_stack = lambda: sys.exit("ray" in sys.modules)
serve_until_stopped("captions", "127.0.0.1", 0)
"""
    environment = os.environ | {"NMT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=120)
    assert done.returncode == 0


def test_a_secret_that_the_running_server_does_not_have_is_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFECT_SERVER_AUTH, "engineer:another")
    with pytest.raises(InputError, match="PREFECT_SERVER_API_AUTH_STRING: Prefect's server runs with another"):
        bring_up(stack.options, print)


@pytest.mark.parametrize("given", [(), ("MLFLOW_TRACKING_PASSWORD",), MLFLOW_SECRETS])
def test_looking_at_a_stack_writes_nothing(
    stack: Stack, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it need both parts of an account, which starting a server does."""
    for name in MLFLOW_SECRETS:
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, "a secret of mlflow")
    before = sorted(folder().iterdir())
    assert set(services(stack.options, folder())) == set(NAMES)
    assert sorted(folder().iterdir()) == before
