"""All that this project uses of Prefect without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with Prefect's source, and raise it.
"""

from collections.abc import Sequence
from typing import Any

from prefect.context import refresh_global_settings_context

VERSION = "3.8.8"

UNREACHABLE = "Failed to reach API"
"""What the RuntimeError begins with that a client raises if its first request fails (prefect/client/orchestration)."""

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
"""Where Prefect logs a failed run's traceback, with all that libraries have said of the addresses they failed at."""


def make_server(names: Sequence[str], temporary: bool = False) -> Any:
    """Return the ASGI application of a server that answers requests to these hosts, named as in a URL.

    A temporary one, for a single program, has no UI, and almost no services: `SubprocessASGIServer`
    (prefect/server/api/server.py) asks for the same through variables, PREFECT__SERVER_EPHEMERAL and
    PREFECT__SERVER_FINAL; `prefect server start` (prefect/cli/_server_utils.py) for the other. Importing it takes
    seconds, so only the server's process does.
    """
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return TrustedHostMiddleware(create_app(ephemeral=temporary, final=True), allowed_hosts=names, www_redirect=False)


def reload_settings() -> None:
    """Make all threads read the environment again, Prefect's own included.

    The documented `temporary_settings` changes the settings of the calling thread only.
    """
    refresh_global_settings_context()
