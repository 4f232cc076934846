"""The MLflow UI over the local store."""

import os
import sys
from typing import NoReturn

from infra.mlflow_server import mlflow_server, prepare_accounts
from infra.options import MLFLOW_SECRETS, bracketed, check_secrets
from infra.processes import busy
from infra.running_stack import folder
from pipeline.errors import InputError
from pipeline.registry.runs import tracking_uri, use_registry


def serve_ui(host: str, port: int) -> NoReturn:
    """Become the MLflow server until it is stopped.

    Raises InputError if the port is taken, MLFLOW_TRACKING_URI is a server, which has a UI of its own, or others can
    reach the address and there is no password.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: that server has the UI; open it in a browser")
    check_secrets(host, MLFLOW_SECRETS)
    reason = busy(host, port)
    if reason is not None:
        raise InputError(f"--host {host} --port {port}: {reason}; choose another with --port")
    use_registry()  # The server would make its database step by step, and be broken by Ctrl-C in between.
    prepare_accounts(folder())
    command, environment = mlflow_server(uri, host, port, folder())
    command += ("--uvicorn-opts", "--log-level warning")  # Else a line per request.
    usual = {"MLFLOW_LOGGING_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    print(f"MLflow is starting at http://{bracketed(host)}:{port}; Ctrl-C stops it", file=sys.stderr, flush=True)  # noqa: T201
    os.umask(0o077)
    # In place of this process, so that signals and the exit code are the server's own.
    os.execve(command[0], command, usual | dict(os.environ) | environment)  # noqa: S606 - our own arguments, no shell
