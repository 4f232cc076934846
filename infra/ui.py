"""Starts the MLflow UI over the local store."""

import socket
import subprocess
import sys

from pipeline.errors import InputError, WorldError
from pipeline.runs import tracking_uri


def serve_ui(host: str, port: int) -> int:
    """Run the MLflow UI until it is stopped; return its exit code.

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
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        host,
        "--port",
        str(port),
    ]
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own arguments, no shell
    except OSError as error:
        raise WorldError(f"the MLflow server could not be started: {error}") from error
