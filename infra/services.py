"""The servers of the local stack: the command of each, its environment, and how to see that it is ready."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from infra.mlflow_server import mlflow_server
from infra.options import EVERYWHERE, MLFLOW_SECRETS, StackOptions, bracketed, own_hosts
from infra.probes import answers, worker_is_online
from infra.processes import free_port
from infra.secrets import PREFECT_AUTH, PREFECT_SERVER_AUTH, prefect_auth, ray_token
from pipeline.store.storage import artifacts_uri, home
from pipeline.store.writable import obstacle

NAMES = PREFECT, MLFLOW, RAY, WORKER = ("prefect", "mlflow", "ray", "worker")
SCHEMAS = {PREFECT: "prefect", MLFLOW: "mlflow"}
"""Where the servers keep their tables in one PostgreSQL database: both would make a table `alembic_version`."""
PREFECT_FILE = "prefect.db"
HEARTBEAT_SECONDS = 30
"""The shortest that Prefect allows; a run that misses three counts as dead."""
RAY_FOLDER, LONGEST_RAY_FOLDER = "RAY_TMPDIR", 39
"""Where Ray keeps its sockets, and the most bytes that the system's limit on their paths leaves for it."""
RAY_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, else Ray replaces loopback by the machine's outer address and listens there, whatever its options."""
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}

Probe = Callable[[], bool]


@dataclass(frozen=True)
class Service:
    """A server: how it is started, and how to see that it works."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[str, ...]
    """The options that name the ports it listens on."""
    address: str
    ready: Probe


def api_url(options: StackOptions) -> str:
    """Return the address of Prefect's API."""
    return f"{options.url(options.prefect_port)}/api"


def client_environment(options: StackOptions, folder: Path) -> dict[str, str]:
    """Return what points programs on this machine at the servers.

    Raises InputError if Prefect's server was started with a secret that this process does not have.
    """
    return {
        "PREFECT_API_URL": api_url(options),
        PREFECT_AUTH: prefect_auth(folder),
        "MLFLOW_TRACKING_URI": options.url(options.mlflow_port),
        "RAY_ADDRESS": f"{options.address}:{options.ray_port}",
    } | _ray_environment(options)


def services(options: StackOptions, folder: Path) -> dict[str, Service]:
    """Return the servers by name, in the order in which they need each other; `folder` takes their files."""
    found = (_prefect(options, folder), _mlflow(options, folder), _ray(options), _worker(options, folder))
    return {service.name: service for service in found}


def _prefect(options: StackOptions, folder: Path) -> Service:
    if options.database is None:
        database = {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / PREFECT_FILE}"}
    else:
        database = {
            "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://" + options.database.partition("://")[2],
            "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH": SCHEMAS[PREFECT],
        }
    url = options.url(options.prefect_port)
    return Service(
        PREFECT,
        _python(
            "infra.prefect_server", options.host, str(options.prefect_port), *map(bracketed, own_hosts(options.host))
        ),
        database
        | {
            PREFECT_SERVER_AUTH: prefect_auth(folder),
            PREFECT_AUTH: prefect_auth(folder),  # Its services are clients of it.
            "PREFECT_API_URL": api_url(options),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_UI_API_URL": "/api",
        },
        ("--prefect-port",),
        url,
        lambda: answers(f"{url}/api/health"),
    )


def _mlflow(options: StackOptions, folder: Path) -> Service:
    if options.database is None:
        store = f"sqlite:///{home() / 'mlflow.db'}"
    else:
        address = "postgresql+psycopg://" + options.database.partition("://")[2]
        store = f"{address}{'&' if '?' in address else '?'}options={quote(f'-csearch_path={SCHEMAS[MLFLOW]}')}"
    url = options.url(options.mlflow_port)
    command, environment = mlflow_server(store, options.host, options.mlflow_port, folder)
    environment["MLFLOW_ARTIFACTS_DESTINATION"] = artifacts_uri()
    return Service(MLFLOW, command, environment, ("--mlflow-port",), url, lambda: answers(f"{url}/health"))


def _ray(options: StackOptions) -> Service:
    command = ["ray.scripts.scripts", "start", "--head", "--block", "--port", str(options.ray_port)]
    command += ["--dashboard-host", options.host, "--dashboard-port", str(options.dashboard_port)]
    command += ["--include-dashboard", "true", "--disable-usage-stats"]
    # Ports that users do not need: any free ones, so that several stacks fit on a machine.
    command += ["--min-worker-port", "0", "--max-worker-port", "0"]
    command += ["--ray-client-server-port", str(free_port(options.address))]
    command += ["--dashboard-agent-listen-port", str(free_port(options.address))]
    if options.host not in EVERYWHERE:  # Else Ray finds the address that others reach it at.
        command += ["--node-ip-address", options.host]
    url = options.url(options.dashboard_port)
    return Service(
        RAY,
        _python(*command),
        _ray_environment(options) | _ray_folder(),
        ("--ray-port", "--dashboard-port"),
        url,
        lambda: answers(f"{url}/api/gcs_healthz", ray_token()),
    )


def _worker(options: StackOptions, folder: Path) -> Service:
    clients = client_environment(options, folder)
    command = ("worker", "start", "--pool", options.pool, "--type", "process", "--install-policy", "never")
    return Service(
        WORKER,
        _python("prefect", *command, "--name", f"{options.pool}-local"),
        clients
        | {name: os.environ[name] for name in MLFLOW_SECRETS if name in os.environ}
        | {
            "NMT_HOME": str(home()),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        },
        (),
        f"pool {options.pool}",
        lambda: worker_is_online(clients["PREFECT_API_URL"], clients[PREFECT_AUTH], options.pool),
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _ray_environment(options: StackOptions) -> dict[str, str]:
    token = {name: os.environ[name] for name in ("RAY_AUTH_TOKEN",) if name in os.environ}
    return {"RAY_AUTH_MODE": "token"} | token | ({} if options.is_public else {RAY_ON_LOOPBACK: "0"})


def _ray_folder() -> dict[str, str]:
    """Return what makes Ray keep its files in /tmp if the temporary folder will not do, as many a batch system's."""
    usual = os.environ.get(RAY_FOLDER) or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as Ray chooses
    fits = len(os.fsencode(usual)) <= LONGEST_RAY_FOLDER and obstacle(Path(usual).absolute()) is None
    return {} if fits else {RAY_FOLDER: "/tmp"}  # noqa: S108
