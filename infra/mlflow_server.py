"""MLflow's server, for the stack and for `nmt ui`: whom it lets in, and what it keeps where."""

import os
import sys
from configparser import ConfigParser
from pathlib import Path
from secrets import token_hex

from infra.options import MLFLOW_PASSWORD, MLFLOW_SECRETS, MLFLOW_USER, bracketed, is_loopback, own_hosts
from pipeline.store.whole_files import make_private

ACCOUNTS, ACCOUNTS_FILE = "mlflow-auth.ini", "mlflow-accounts.db"


def mlflow_server(store: str, host: str, port: int, folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the command and the environment of a server of the database `store`; `folder` is for its own files.

    With a user and a password in this environment it asks for them, after `prepare_accounts`. It has one worker, which
    is enough for a machine and starts four times as fast as the usual four.
    """
    command = ["mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    environment = {
        # Not on the command line, which all users of the machine can read.
        "MLFLOW_BACKEND_STORE_URI": store,
        # MLflow refuses requests to other names, against DNS rebinding. By default it would take 192.168.evil.example.
        "MLFLOW_SERVER_ALLOWED_HOSTS": os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS") or _allowed(host, port),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if _has_accounts():
        command += ["--app-name", "basic-auth"]
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / ACCOUNTS),
            "MLFLOW_AUTH_ADMIN_USERNAME": os.environ[MLFLOW_USER],
            "MLFLOW_AUTH_ADMIN_PASSWORD": os.environ[MLFLOW_PASSWORD],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": token_hex(),
        }
    return (sys.executable, "-m", *command), environment


def _allowed(host: str, port: int) -> str:
    """Return what MLflow compares with the header Host: through a tunnel, loopback has any port."""
    names = own_hosts(host)
    loopback = [f"{name}:*" for name in names if is_loopback(name) and ":" not in name]
    return ",".join([*(f"{bracketed(name)}:{port}" for name in names), *loopback])


def _has_accounts() -> bool:
    return all(os.environ.get(name) for name in MLFLOW_SECRETS)


def prepare_accounts(folder: Path) -> None:
    """Make the database of a server's accounts, and write where it is, if the server is to have any.

    Raises ExternalError for a database that cannot be used.
    """
    if not _has_accounts():
        return
    from pipeline.registry.mlflow_internals import prepare_accounts as prepare_file  # Takes seconds.

    make_private(folder)
    prepare_file(folder / ACCOUNTS_FILE)
    parser = ConfigParser(interpolation=None)
    parser["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{folder / ACCOUNTS_FILE}",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    with (folder / ACCOUNTS).open("w", encoding="utf8") as file:
        parser.write(file)
