"""Prefect's own temporary server, for the time of one command."""

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import prefect
import prefect.context
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
)

from infra.processes import free_port
from infra.services import answers
from pipeline.errors import ExternalError


def start_temporary_server() -> Callable[[], None]:
    """Start the server that Prefect would start itself where no other is named; return what waits until it answers.

    Prefect imports the server into this process, starts another that does the same, and waits: on two cores, ten
    seconds more than this, which comes up while this process imports the flow. It ends with this process, after
    Prefect has told it how the run ended.
    """
    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return lambda: None
    # A process that dies of a signal does not run what ends its server; one that exits does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = _Server()
    atexit.register(server.stop)
    # For all threads, Prefect's own too.
    os.environ["PREFECT_API_URL"] = f"{server.address}/api"
    prefect.context.GLOBAL_SETTINGS_CONTEXT = prefect.context.root_settings_context()
    return server.wait


class _Server:
    """A process with Prefect's server, without its UI and its services, as Prefect runs one for a single program."""

    def __init__(self) -> None:
        port = free_port("127.0.0.1")
        self.address = f"http://127.0.0.1:{port}"
        factory = (
            "--app-dir",
            str(prefect.__module_path__.parent),
            "--factory",
            "prefect.server.api.server:create_app",
        )
        listen = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on")
        single = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        settings = prefect.context.get_settings_context().settings.to_environment_variables(exclude_unset=True)
        # A terminal sends Ctrl-C to every process of the command. A server that dies of it leaves Prefect trying for
        # minutes to tell it how the run ended; so it is started with the signal blocked, which a process inherits.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                [sys.executable, "-m", "uvicorn", *factory, *listen], env=os.environ | single | settings
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def wait(self) -> None:
        """Return when it answers; raise ExternalError if it does not."""
        seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            if answers(f"{self.address}/api/health"):
                return
            time.sleep(0.1)
        ended = self._process.returncode
        what = f"did not answer within {seconds} seconds" if ended is None else f"ended with exit code {ended}"
        raise ExternalError(f"Prefect's temporary server {what}; give the same command again, or set PREFECT_API_URL")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
