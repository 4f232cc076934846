"""Prefect's own temporary server, for the time of one command."""

import signal
import sys

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED


def start_temporary_server() -> None:
    """Start the server that Prefect would start itself where no other is named; it ends with this process.

    A terminal sends Ctrl-C to every process of the command. A server that dies of it leaves Prefect trying for
    minutes to tell it how the run ended; so it is started with the signal blocked, which a process inherits.
    """
    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return
    # A process that dies of a signal does not run what ends its server; one that exits does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
