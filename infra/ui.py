"""The MLflow UI over the local store."""

import os
import socket
import sys
from typing import NoReturn

from pipeline.errors import InputError
from pipeline.registry.runs import tracking_uri


def serve_ui(host: str, port: int) -> NoReturn:
    """Become the MLflow server until it is stopped.

    Raises InputError if the port is taken or MLFLOW_TRACKING_URI is a server, which has a UI of its own.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: that server has the UI; open it in a browser")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"--host {host} --port {port}: {error.strerror}; choose another with --port") from None
    # One worker is enough for one person, and starts four times as fast as the usual four; jobs have no use here.
    server = ["mlflow", "server", "--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    server += ["--uvicorn-opts", "--log-level warning"]  # Else a line per request.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    print(f"MLflow is starting at http://{host}:{port}; Ctrl-C stops it", file=sys.stderr, flush=True)  # noqa: T201
    # In place of this process, so that signals and the exit code are the server's own.
    os.execv(sys.executable, [sys.executable, "-m", *server])  # noqa: S606 - our own arguments, no shell
