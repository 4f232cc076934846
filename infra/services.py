"""The servers of the local stack: the command of each, its environment, and how to see that it is ready."""

import os
import sys
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote

import httpx

from infra.options import EVERYWHERE, StackOptions
from infra.processes import free_port, own_names
from pipeline.store.storage import artifacts_uri, home
from pipeline.store.writable import obstacle

PREFECT, MLFLOW, RAY, WORKER = "prefect", "mlflow", "ray", "worker"
SCHEMAS = {PREFECT: "prefect", MLFLOW: "mlflow"}
"""Where the servers keep their tables in one PostgreSQL database: both would make a table `alembic_version`."""
MLFLOW_ACCOUNTS = "mlflow-auth.ini"
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


def client_environment(options: StackOptions) -> dict[str, str]:
    """Return what points programs on this machine at the servers; secrets are taken from this process."""
    environment = {
        "PREFECT_API_URL": f"http://{options.address}:{options.prefect_port}/api",
        "MLFLOW_TRACKING_URI": f"http://{options.address}:{options.mlflow_port}",
        "RAY_ADDRESS": f"{options.address}:{options.ray_port}",
    }
    auth = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    return environment | ({"PREFECT_API_AUTH_STRING": auth} if auth else {}) | _ray_environment(options)


def services(options: StackOptions, folder: Path) -> dict[str, Service]:
    """Return the servers by name, in the order in which they need each other; `folder` takes their files."""
    found = (_prefect(options, folder), _mlflow(options, folder), _ray(options), _worker(options))
    return {service.name: service for service in found}


def write_files(folder: Path) -> None:
    """Write what the servers read: where MLflow keeps accounts. The administrator's comes from the environment."""
    parser = ConfigParser(interpolation=None)
    parser["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{folder / 'mlflow-accounts.db'}",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    with (folder / MLFLOW_ACCOUNTS).open("w", encoding="utf8") as file:
        parser.write(file)


def _prefect(options: StackOptions, folder: Path) -> Service:
    if options.database is None:
        database = {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}"}
    else:
        database = {
            "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://" + options.database.partition("://")[2],
            "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH": SCHEMAS[PREFECT],
        }
    url = f"http://{options.address}:{options.prefect_port}"
    return Service(
        PREFECT,
        _python("prefect", "server", "start", "--host", options.host, "--port", str(options.prefect_port)),
        database | {"PREFECT_SERVER_LOGGING_LEVEL": "WARNING", "PREFECT_UI_API_URL": "/api"},
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
    url = f"http://{options.address}:{options.mlflow_port}"
    command = ["mlflow", "server", "--host", options.host, "--port", str(options.mlflow_port), "--workers", "1"]
    environment = {
        # Not on the command line, which all users of the machine can read.
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if options.is_public:
        # MLflow refuses requests to other names, against DNS rebinding.
        environment["MLFLOW_SERVER_ALLOWED_HOSTS"] = os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS") or ",".join(
            f"{name}:{options.mlflow_port}" for name in sorted(own_names() | {options.address})
        )
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if password:
        command += ["--app-name", "basic-auth"]
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / MLFLOW_ACCOUNTS),
            "MLFLOW_AUTH_ADMIN_USERNAME": os.environ["MLFLOW_TRACKING_USERNAME"],
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": token_hex(),
        }
    return Service(MLFLOW, _python(*command), environment, ("--mlflow-port",), url, lambda: answers(f"{url}/health"))


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
    url = f"http://{options.address}:{options.dashboard_port}"
    return Service(
        RAY,
        _python(*command),
        _ray_environment(options) | _ray_folder(),
        ("--ray-port", "--dashboard-port"),
        url,
        lambda: answers(f"{url}/api/gcs_healthz", {"Authorization": f"Bearer {ray_token()}"}),
    )


def _worker(options: StackOptions) -> Service:
    api = f"http://{options.address}:{options.prefect_port}/api"
    command = ("worker", "start", "--pool", options.pool, "--type", "process", "--install-policy", "never")
    return Service(
        WORKER,
        _python("prefect", *command, "--name", f"{options.pool}-local"),
        client_environment(options)
        | {
            "NMT_HOME": str(home()),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        },
        (),
        f"pool {options.pool}",
        lambda: _worker_is_online(api, options.pool),
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _ray_environment(options: StackOptions) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token"} | ({} if options.is_public else {RAY_ON_LOOPBACK: "0"})


def _ray_folder() -> dict[str, str]:
    """Return what makes Ray keep its files in /tmp if the temporary folder will not do, as many a batch system's."""
    usual = os.environ.get(RAY_FOLDER) or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as Ray chooses
    fits = len(os.fsencode(usual)) <= LONGEST_RAY_FOLDER and obstacle(Path(usual).absolute()) is None
    return {} if fits else {RAY_FOLDER: "/tmp"}  # noqa: S108


def ray_token() -> str:
    """Return the token of this machine's Ray clusters: RAY_AUTH_TOKEN, or what is in the file that Ray reads."""
    given = os.environ.get("RAY_AUTH_TOKEN")
    if given:
        return given
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Ray would create one too, but readable by every user of the machine.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf8") as file:
            file.write(token_hex(32))
    return path.read_text("utf8").strip()


def _prefect_authentication() -> httpx.BasicAuth | None:
    user, _, password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING", "").partition(":")
    return httpx.BasicAuth(user, password) if user else None


def answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether a server answers there, with success."""
    try:
        return httpx.get(url, headers=headers, auth=_prefect_authentication(), timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def got_no_answer(error: Exception, url: str) -> bool:
    """Return whether an error is that of a request to this server which got no answer."""
    return isinstance(error, httpx.TransportError) and str(error.request.url).startswith(url)


def _worker_is_online(api: str, pool: str) -> bool:
    try:
        answer = httpx.post(
            f"{api}/work_pools/{pool}/workers/filter",
            json={},
            auth=_prefect_authentication(),
            timeout=5,
            trust_env=False,
        )
        return answer.is_success and any(
            worker["name"] == f"{pool}-local" and worker["status"] == "ONLINE" for worker in answer.json()
        )
    except httpx.HTTPError:
        return False
