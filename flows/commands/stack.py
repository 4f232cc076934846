"""The commands that start, show and end the local stack, and prepare a Prefect server for runs."""

import json
import shlex
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.console import one_line_errors, quieten_libraries
from infra.options import DATABASE_VARIABLE, StackOptions
from pipeline.errors import InputError

DEFAULTS = StackOptions()
Port = Annotated[int, typer.Option(min=1, max=65535, help="port of that server")]
Pool = Annotated[str, typer.Option(help="work pool that runs are taken from")]


@one_line_errors()
def up(
    host: Annotated[str, typer.Option(help="address to listen on; other than loopback needs secrets")] = DEFAULTS.host,
    prefect_port: Port = DEFAULTS.prefect_port,
    mlflow_port: Port = DEFAULTS.mlflow_port,
    ray_port: Port = DEFAULTS.ray_port,
    dashboard_port: Annotated[int, typer.Option(min=1, max=65535, help="of Ray's dashboard")] = DEFAULTS.dashboard_port,
    database_url: Annotated[
        str | None, typer.Option(envvar=DATABASE_VARIABLE, help="PostgreSQL for both servers; else SQLite files")
    ] = None,
    pool: Pool = DEFAULTS.pool,
) -> None:
    """Start Prefect's and MLflow's servers, a Ray head with its dashboard, and a worker; what runs already stays."""
    from infra.orchestrator import use_server
    from infra.stack import bring_up, folder

    options = StackOptions(host, prefect_port, mlflow_port, ray_port, dashboard_port, pool, database_url)
    stack = bring_up(options, _say)
    use_server(stack.options, folder())
    console = Console(highlight=False)
    console.print(f"\nlogs in {folder() / 'logs'}; `prefect` commands use this server until `nmt down`", soft_wrap=True)
    console.print("\nnext:")
    for command in (
        "prefect deploy --all --prefect-file infra/prefect.yaml",
        "prefect deployment run train/captions --watch",
        "nmt status",
        "nmt down",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)


@one_line_errors()
def down() -> None:
    """End the servers that `nmt up` has started; runs that go on are told to stop and can be continued."""
    from infra.orchestrator import leave_server
    from infra.stack import folder, take_down

    found = take_down(_say)
    leave_server(folder())
    if not found:
        print("nmt: no stack runs here", file=sys.stderr)  # noqa: T201


@one_line_errors()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON")] = False,
    shell: Annotated[
        bool, typer.Option("--shell", help='commands that point a shell at the servers: eval "$(nmt status --shell)"')
    ] = False,
) -> None:
    """Show the servers, where they are, and whether they answer; exit code 1 unless all do."""
    from infra.services import client_environment
    from infra.stack import find_stack, report

    stack = find_stack()
    if shell:
        if stack is None:
            raise InputError("no stack runs here; start it with `nmt up`")
        for name, value in client_environment(stack.options).items():
            print(f"export {name}={shlex.quote(value)}")  # noqa: T201
        return
    rows = report(stack) if stack else []
    if as_json:
        print(json.dumps([row.public() for row in rows]))  # noqa: T201
    elif rows:
        table = Table("server", "state", "address", "process")
        for row in rows:
            colour = "green" if row.state == "ready" else "red"
            table.add_row(row.name, f"[{colour}]{row.state}[/]", row.address, str(row.pid))
        console = Console(highlight=False)
        console.print(table)
        for row in rows:  # Below the table, which would cut them.
            console.print(f"{row.name:<8} {row.log}", markup=False, soft_wrap=True)
    else:
        print("nmt: no stack runs here; start it with `nmt up`", file=sys.stderr)  # noqa: T201
    if not rows or any(row.state != "ready" for row in rows):
        sys.exit(1)


@one_line_errors()
def pool(
    pool: Pool = DEFAULTS.pool,
    limit: Annotated[int, typer.Option(min=1, help="runs that go on at a time; more wait")] = 1,
) -> None:
    """Prepare the Prefect server at PREFECT_API_URL: work pool, crashed runs marked, notifications."""
    quieten_libraries()
    from flows.server import reachable_prefect
    from infra.orchestrator import prepare_pool

    with reachable_prefect():
        done = prepare_pool(pool, limit)
    for line in done:
        print(line)  # noqa: T201


def _say(name: str, text: str) -> None:
    print(f"{name:<8} {text}", file=sys.stderr, flush=True)  # noqa: T201


def add_to(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (up, down, status, pool):
        app.command()(command)
