"""`nmt clean`: shows what runs have left, and removes it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.console import one_line_errors, quieten_libraries
from flows.commands.tables import size_text
from pipeline.store.leftovers import KINDS, Leftover


@one_line_errors()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is shown; else nothing is removed.")] = False,
) -> None:
    """Show what runs have left, and remove it with --yes.

    Registered models, runs in MLflow and unfinished trainings are never among it, nor what a run in progress uses. The
    outputs of stages are `nmt store gc`'s.
    """
    clean_home(yes)


def clean_home(yes: bool) -> None:
    """Show what can be removed from `$NMT_HOME` and the temporary folder, and remove it if `yes`."""
    from infra.running_stack import find_stack
    from pipeline.cluster.connection import ended_clusters
    from pipeline.store.leftovers import find_leftovers, measured, remove
    from pipeline.store.writable import check_home

    quieten_libraries()
    check_home()
    stack = find_stack()
    prefect = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    found = [*find_leftovers(bool(stack and stack.alive), prefect), *measured({"clusters": ended_clusters()})]
    _show(found)
    if found:
        if yes:
            remove(found)
        total = size_text(sum(leftover.bytes for leftover in found))
        print(f"nmt: removed {total}" if yes else f"nmt: `nmt clean --yes` removes {total}", file=sys.stderr)  # noqa: T201
    else:
        print("nmt: there is nothing to remove", file=sys.stderr)  # noqa: T201


def _show(found: Sequence[Leftover]) -> None:
    """Print a table of the kinds on a terminal and in a pipe, then the path of each."""
    if not found:
        return
    table = Table("what", "number", "size")
    for kind, meaning in KINDS.items():
        of_kind = [leftover for leftover in found if leftover.kind == kind]
        if of_kind:
            table.add_row(meaning, str(len(of_kind)), size_text(sum(leftover.bytes for leftover in of_kind)))
    console = Console(highlight=False)
    console.print(table)
    for leftover in found:  # Below the table, which would cut them.
        console.print(f"{size_text(leftover.bytes):>10} {leftover.path}", markup=False, soft_wrap=True)


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to a command line, under a heading of its help."""
    app.command(rich_help_panel=panel)(clean)
