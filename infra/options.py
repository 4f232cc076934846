"""The options of the local stack: where it listens, what it stores where; checked before anything is started."""

import ipaddress
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.processes import own_names
from infra.secrets import PREFECT_SERVER_AUTH, check_prefect_auth
from pipeline.errors import InputError, without_secrets
from pipeline.store.storage import check_storage

MLFLOW_SECRETS = MLFLOW_USER, MLFLOW_PASSWORD = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
SECRETS = {
    PREFECT_SERVER_AUTH: "user:password of Prefect's server",
    MLFLOW_USER: "the administrator of MLflow's server",
    MLFLOW_PASSWORD: "the administrator's password, of at least 12 characters",
    "RAY_AUTH_TOKEN": "the token of the Ray cluster, of at least 16 characters",
}
MINIMUM_LENGTH = {MLFLOW_PASSWORD: 12, "RAY_AUTH_TOKEN": 16}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOSTS_VARIABLE = "NMT_ALLOWED_HOSTS"
"""Other names of this machine, separated by commas, as of a proxy before the servers."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
NOTIFY_VARIABLE = "NMT_NOTIFY_URL"
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

    def url(self, port: int) -> str:
        """Return where this machine reaches the server on a port."""
        return f"http://{bracketed(self.address)}:{port}"

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
        return asdict(self) | {"database": self.database and without_secrets(self.database)}

    def check(self) -> None:
        """Raise InputError for options that no stack can start with."""
        ports = list(self.ports.values())
        for option, port in self.ports.items():
            if ports.count(port) > 1:
                raise InputError(f"{option} {port}: another server has that port; choose another")
        if not is_own(self.host):
            raise InputError(
                f"--host {self.host}: no address of this machine; choose one of {', '.join(sorted(own_names()))}"
            )
        if ":" in self.host and not self.is_public:
            raise InputError(f"--host {self.host}: Ray's loopback is 127.0.0.1 alone; leave the option out")
        if self.database is not None:
            _check_database(self.database)
        check_storage()
        check_secrets(self.host)


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_own(host: str) -> bool:
    """Return whether an address to listen at is this machine's."""
    return is_loopback(host) or host in {*EVERYWHERE, *own_names()}


def own_hosts(host: str) -> list[str]:
    """Return the names that a server at `host` answers to: a request to another is a foreign web page's."""
    others = [name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name.strip()]
    own = LOOPBACK if is_loopback(host) else sorted(own_names() | {*LOOPBACK, host})
    return list(dict.fromkeys([*own, *others]))


def bracketed(host: str) -> str:
    """Return a host as it is written in a URL.

    >>> bracketed("::1"), bracketed("localhost")
    ('[::1]', 'localhost')
    """
    return f"[{host}]" if ":" in host else host


def _check_database(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise InputError(
            f"--database-url {url}: not a PostgreSQL database; give postgresql://user:password@host:port/database"
        )


def check_secrets(host: str, names: Collection[str] = tuple(SECRETS)) -> None:
    """Raise InputError unless every server that others can reach has its secret, and those given are of use."""
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    missing = [name for name in names if name not in given]
    if missing and not is_loopback(host):
        wanted = "; ".join(f"{name} ({SECRETS[name]})" for name in missing)
        raise InputError(f"--host {host}: others can reach it, so every server needs a secret; set {wanted}")
    for name, value in given.items():
        if len(value) < MINIMUM_LENGTH.get(name, 0):
            raise InputError(f"{name}: it has fewer than {MINIMUM_LENGTH[name]} characters; choose a longer one")
    if PREFECT_SERVER_AUTH in given:
        check_prefect_auth(given[PREFECT_SERVER_AUTH])
    for one, other in (MLFLOW_SECRETS, MLFLOW_SECRETS[::-1]):
        if one in given and other in missing:
            raise InputError(f"{one}: {other} is missing; set both, or neither")
