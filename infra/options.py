"""The options of the local stack: where it listens, what it stores where; checked before anything is started."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import InputError
from pipeline.store.storage import check_storage

SECRETS = {
    "PREFECT_SERVER_API_AUTH_STRING": "user:password of Prefect's server",
    "MLFLOW_TRACKING_USERNAME": "the administrator of MLflow's server",
    "MLFLOW_TRACKING_PASSWORD": "the administrator's password, of at least 12 characters",
    "RAY_AUTH_TOKEN": "the token of the Ray cluster, of at least 16 characters",
}
MINIMUM_LENGTH = {"MLFLOW_TRACKING_PASSWORD": 12, "RAY_AUTH_TOKEN": 16}
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
DATABASE_VARIABLE = "NMT_DATABASE_URL"


@dataclass(frozen=True)
class StackOptions:
    """Where the servers listen, and their database."""

    host: str = "127.0.0.1"
    prefect_port: int = 4200
    mlflow_port: int = 5000
    ray_port: int = 6379
    dashboard_port: int = 8265
    pool: str = "nmt"
    database: str | None = None
    """Of PostgreSQL; None: a SQLite file for each server."""

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the servers."""
        return not is_loopback(self.host)

    @property
    def address(self) -> str:
        """Where this machine reaches the servers."""
        return "127.0.0.1" if self.host in EVERYWHERE else self.host

    @property
    def ports(self) -> dict[str, int]:
        """The ports by the option that sets them."""
        return {
            "--prefect-port": self.prefect_port,
            "--mlflow-port": self.mlflow_port,
            "--ray-port": self.ray_port,
            "--dashboard-port": self.dashboard_port,
        }

    def public(self) -> dict[str, Any]:
        """Return the options as JSON, without the database's password."""
        return asdict(self) | {"database": without_password(self.database)}

    def check(self) -> None:
        """Raise InputError for options that no stack can start with."""
        ports = list(self.ports.values())
        for option, port in self.ports.items():
            if ports.count(port) > 1:
                raise InputError(f"{option} {port}: another server has that port; choose another")
        if self.database is not None:
            _check_database(self.database)
        check_storage()
        if self.is_public:
            _check_secrets(self.host, os.environ)


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_password(url: str | None) -> str | None:
    """Return a URL with its password hidden."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def _check_database(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise InputError(
            f"--database-url {without_password(url)}: not a PostgreSQL database; "
            "give postgresql://user:password@host:port/database"
        )


def _check_secrets(host: str, environment: Mapping[str, str]) -> None:
    """Raise InputError unless every server that others can reach has its secret."""
    missing = {name: meaning for name, meaning in SECRETS.items() if not environment.get(name)}
    if missing:
        names = "; ".join(f"{name} ({meaning})" for name, meaning in missing.items())
        raise InputError(f"--host {host}: others can reach it, so every server needs a secret; set {names}")
    for name, length in MINIMUM_LENGTH.items():
        if len(environment[name]) < length:
            raise InputError(f"{name}: it has fewer than {length} characters; choose a longer one")
    user, colon, password = environment["PREFECT_SERVER_API_AUTH_STRING"].partition(":")
    if not (user and colon and password):
        raise InputError("PREFECT_SERVER_API_AUTH_STRING: it is not of the form user:password; give both")
