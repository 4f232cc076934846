"""The commands that start, show and stop the local servers, and prepare a Prefect server for runs."""

import json
import shlex
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.console import one_line_errors, quieten_libraries
from infra.options import DATABASE_VARIABLE, StackOptions
from pipeline.errors import InputError

DEFAULTS = StackOptions()
Pool = Annotated[str, typer.Option(metavar="NAME", help="Use this work pool for runs.")]


def _port(what: str) -> Any:
    return typer.Option(metavar="PORT", min=1, max=65535, help=f"Use this port for {what}.")


@one_line_errors()
def up(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address. All but loopback need secrets.")
    ] = DEFAULTS.host,
    prefect_port: Annotated[int, _port("Prefect's server")] = DEFAULTS.prefect_port,
    mlflow_port: Annotated[int, _port("MLflow's server")] = DEFAULTS.mlflow_port,
    ray_port: Annotated[int, _port("Ray's head")] = DEFAULTS.ray_port,
    dashboard_port: Annotated[int, _port("Ray's dashboard")] = DEFAULTS.dashboard_port,
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar=DATABASE_VARIABLE, help="Keep both servers' tables in this PostgreSQL database."
        ),
    ] = None,
    pool: Pool = DEFAULTS.pool,
) -> None:
    """Start servers on this machine: Prefect, MLflow, Ray and a worker.

    Servers that already run are left alone. `prefect` commands use this server until `nmt down`.
    """
    from infra.orchestrator import use_server
    from infra.running_stack import folder
    from infra.secrets import PREFECT_AUTH_FILE, is_kept
    from infra.stack import bring_up
    from pipeline.store.writable import check_home

    check_home()
    options = StackOptions(host, prefect_port, mlflow_port, ray_port, dashboard_port, pool, database_url)
    stack = bring_up(options, _say)
    use_server(stack.options, folder())
    console = Console(highlight=False)
    console.print(f"\nlogs in {folder() / 'logs'}; `prefect` commands use this server until `nmt down`", soft_wrap=True)
    if is_kept(folder()):
        console.print(f"Prefect's UI asks for what is in {folder() / PREFECT_AUTH_FILE}", soft_wrap=True)
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
    """Stop the servers that `nmt up` started.

    Runs in progress are stopped too, and can be continued later.
    """
    from infra.orchestrator import leave_server
    from infra.running_stack import folder
    from infra.stack import take_down

    stopped = take_down(_say)
    if stopped is not None:
        leave_server(stopped.options, folder())
    else:
        print("nmt: no servers run here", file=sys.stderr)  # noqa: T201


@one_line_errors()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the servers as one line of JSON.")] = False,
    shell: Annotated[
        bool, typer.Option("--shell", help="Print what points a shell at the servers, for `eval`.")
    ] = False,
) -> None:
    """Show the servers, where they are, and whether they answer.

    The exit code is 1 unless all of them answer.
    """
    from infra.running_stack import find_stack, folder
    from infra.services import client_environment
    from infra.stack import report

    stack = find_stack()
    if shell:
        if stack is None:
            raise InputError("no servers run here; start them with `nmt up`")
        for name, value in client_environment(stack.options, folder()).items():
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
        print("nmt: no servers run here; start them with `nmt up`", file=sys.stderr)  # noqa: T201
    if not rows or any(row.state != "ready" for row in rows):
        sys.exit(1)


@one_line_errors()
def pool(
    pool: Pool = DEFAULTS.pool,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Let N runs execute at a time; others wait.")] = 1,
) -> None:
    """Prepare another Prefect server for runs.

    On the server at PREFECT_API_URL this creates the work pool, has dead runs marked as crashed and, with
    NMT_NOTIFY_URL, has the end of every run reported there.
    """
    quieten_libraries()
    from flows.server import reachable_prefect
    from infra.orchestrator import prepare_pool

    with reachable_prefect():
        done = prepare_pool(pool, limit)
    for line in done:
        print(line)  # noqa: T201


def _say(name: str, text: str) -> None:
    print(f"{name:<8} {text}", file=sys.stderr, flush=True)  # noqa: T201


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands to a command line, under a heading of its help."""
    for command in (up, status, down, pool):
        app.command(rich_help_panel=panel)(command)
