"""Prefect's temporary server, for the time of one command; and one line for any Prefect server that is lost."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
)

from infra.prefect_internals import UNREACHABLE, reload_settings
from infra.probes import answers, got_no_answer
from infra.secrets import PREFECT_AUTH, PREFECT_SERVER_AUTH
from pipeline.errors import ExternalError

RESTARTS = 3


def start_temporary_server() -> Callable[[], None]:
    """Start the server that Prefect would start if none is named; return a function that waits until it answers.

    Prefect would import the server into this process, start another that imports it again, and wait: on two cores, ten
    seconds more than here, where it starts while the flow is imported. It ends with this process, after Prefect has
    reported how the run ended.
    """
    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return lambda: None
    # A process that dies of a signal skips what is registered to end its server; one that exits does not.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = _Server()
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = f"{server.address}/api"
    os.environ[PREFECT_AUTH] = server.secret
    reload_settings()
    return server.wait


class _Server:
    """A process with Prefect's server, started again if it dies.

    The listening socket belongs to this process: while no server is there, requests wait instead of being refused.
    Prefect's client repeats those that a dying server left unanswered, and the run is in the database.
    """

    def __init__(self) -> None:
        # Holds the port, also when no server is there any more: nobody else gets what is sent to it.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind(("127.0.0.1", 0))
        self._socket = socket.create_server(self._port.getsockname(), reuse_port=True)
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.secret = f"nmt:{token_hex(32)}"
        # A copy, before PREFECT_API_URL names this server in it.
        own = {PREFECT_SERVER_AUTH: self.secret, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.address}
        self._environment = dict(os.environ) | own
        self._ending = False
        self._lock = threading.Lock()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._socket.fileno()
        return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            [sys.executable, "-m", "flows.server_process", str(os.getpid()), str(descriptor)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[descriptor],
            # Out of reach of Ctrl-C, which a terminal sends to the whole group of the command: Prefect still has to
            # report how the run ended.
            process_group=0,
            umask=0o077,
        )

    def wait(self) -> None:
        """Return when it answers; raise ExternalError if it does not."""
        seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            if answers(f"{self.address}/api/health"):
                threading.Thread(target=self._restart, daemon=True, name="prefect-server").start()
                return
            time.sleep(0.1)
        ended = self._process.returncode
        what = f"did not answer within {seconds} seconds" if ended is None else f"ended with exit code {ended}"
        raise ExternalError(f"Prefect's temporary server {what}; run the same command again, or set PREFECT_API_URL")

    def _restart(self) -> None:
        """Start the server again when it dies; if it keeps dying, let requests be refused."""
        for _ in range(RESTARTS):
            self._process.wait()
            with self._lock:
                if self._ending:
                    return
                self._process = self._start()
        self._process.wait()
        self._socket.close()

    def stop(self) -> None:
        """End it."""
        with self._lock:
            self._ending = True
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def reachable_prefect() -> Iterator[None]:
    """Raise ExternalError if Prefect's server does not answer, or stops answering."""
    try:
        yield
    except Exception as error:
        url = PREFECT_API_URL.value()
        if isinstance(error, RuntimeError) and str(error).startswith(UNREACHABLE):
            raise ExternalError(f"PREFECT_API_URL: {error}; start that server or unset the variable") from None
        if url and got_no_answer(error, url):
            raise ExternalError(
                f"Prefect's server at {url} stopped answering ({error}); run the same command again to continue"
            ) from None
        raise
