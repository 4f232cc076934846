"""What this project takes from Prefect without a promise is still there, in the version that it was read in."""

import inspect
from importlib.metadata import version

import prefect.client.orchestration
import prefect.context
import prefect.logging.loggers
import prefect.runtime.deployment
import prefect.server.api.server
import pytest

from infra.prefect_internals import RUN_LOGGERS, UNREACHABLE, VERSION

CHECK = (
    f"Prefect is {version('prefect')}: compare every part in infra/prefect_internals.py with its source, run the slow "
    "tests, and set VERSION"
)


def test_prefect_is_the_version_that_was_read() -> None:
    assert version("prefect") == VERSION, CHECK


def test_its_server_can_be_one_for_a_single_program() -> None:
    assert {"ephemeral", "final"} <= set(inspect.signature(prefect.server.api.server.create_app).parameters), CHECK
    # What Prefect itself starts is the same.
    source = inspect.getsource(prefect.server.api.server.SubprocessASGIServer)
    variables = {name for name in ("EPHEMERAL", "FINAL", "WEBSERVER_ONLY") if f"PREFECT__SERVER_{name}" in source}
    assert variables == {"EPHEMERAL", "FINAL"}, CHECK


def test_settings_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prefect.context.GLOBAL_SETTINGS_CONTEXT
    try:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        prefect.context.refresh_global_settings_context()
        assert prefect.context.GLOBAL_SETTINGS_CONTEXT.settings.api.url == "http://127.0.0.1:9/api", CHECK
    finally:
        prefect.context.GLOBAL_SETTINGS_CONTEXT = before


def test_an_error_that_is_told_by_its_message_has_it() -> None:
    assert UNREACHABLE in inspect.getsource(prefect.client.orchestration), CHECK


def test_runs_log_where_secrets_are_hidden() -> None:
    """Renamed, passwords in the tracebacks of libraries would be back in Prefect's log without a word."""
    loggers = inspect.getsource(prefect.logging.loggers)
    assert all(f'"{name}"' in loggers for name in RUN_LOGGERS), CHECK


def test_the_context_of_a_run_has_its_deployment() -> None:
    """Without it, the run of a deployment would pass for one of the command line."""
    assert "id" in prefect.runtime.deployment.__all__, CHECK
