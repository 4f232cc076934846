"""`nmt store`: what is stored, who needs it, and what can go."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import one_line_errors, quieten_libraries
from flows.commands.streams import print_json
from flows.commands.tables import print_rows, short_time_text, size_text

if TYPE_CHECKING:
    from pipeline.upkeep.collection import Collection
    from pipeline.upkeep.inventory import Stored

store = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Show what is stored and who needs it; remove what nobody does.",
)
ALL = "Also what registered models were made from: they stay usable, but cannot be verified or evaluated again from it."


@store.command("ls")
@one_line_errors()
def ls(
    as_json: Annotated[bool, typer.Option("--json", help="Print the artifacts as one line of JSON.")] = False,
) -> None:
    """List the outputs of all stages: size, when made, from what, and who needs each.

    Those are registered models, trainings that can go on, and what is being made now.
    """
    list_home(as_json)


@store.command("gc")
@one_line_errors()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is shown; else nothing is removed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help=ALL)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what goes, or is gone, as one line of JSON.")] = False,
) -> None:
    """Show what no registered model and no run needs, and remove it with --yes.

    What was made in the last hour, is being made, or belongs to a training that can go on, is left. Copies in
    NMT_STORAGE are left, too.
    """
    collect_home(yes, everything, as_json)


def list_home(as_json: bool) -> None:
    """Print the artifacts of the store. Raises ExternalError if MLflow or `$NMT_STORAGE` fails."""
    _prepare()
    from pipeline.errors import without_secrets
    from pipeline.registry.runs import tracking_uri
    from pipeline.store.storage import storage_uri
    from pipeline.upkeep.inventory import list_store

    found, storage = list_store(), storage_uri()
    here = sum(artifact.bytes for artifact in found if artifact.path is not None)
    if as_json:
        artifacts = [artifact.public() for artifact in found]
        where = {"storage": storage, "tracking_uri": without_secrets(tracking_uri())}
        print_json({"artifacts": artifacts, "bytes": here, **where})
        return
    if not found:
        print("nmt: the store is empty", file=sys.stderr)  # noqa: T201
        return
    _print(found, storage is not None)
    number = sum(artifact.path is not None for artifact in found)
    print(f"\n{number} on this machine, {size_text(here)}")  # noqa: T201
    if storage is not None:
        there = [artifact for artifact in found if artifact.shared]
        alone = sum(artifact.path is None for artifact in there)
        print(f"{len(there)} in {storage}, {alone} of them there alone")  # noqa: T201
    print(f"needed as {without_secrets(tracking_uri())} says")  # noqa: T201


def collect_home(yes: bool, everything: bool, as_json: bool) -> None:
    """Print what can go from this machine's store, and remove it if `yes`. Raises as `list_home` does."""
    _prepare()
    from pipeline.store.storage import storage_uri
    from pipeline.upkeep.collection import collect, remove
    from pipeline.upkeep.inventory import list_store

    found = collect(list_store(), everything)
    gone = remove(found.removable) if yes else found.removable
    total = sum(artifact.bytes for artifact in gone)
    if as_json:
        print_json({"removed": yes, "bytes": total, "artifacts": [artifact.public() for artifact in gone]})
        return
    if gone:
        _print(gone, storage_uri() is not None)
    _print_left(found, [artifact for artifact in found.removable if yes and artifact not in gone])
    if not gone:
        text = "there is nothing to remove"
    elif yes:
        text = f"removed {len(gone)} from this machine, {size_text(total)}"
    else:
        text = f"`nmt store gc {'--all ' if everything else ''}--yes` removes {size_text(total)}"
    if gone and storage_uri() is not None:
        text += f"; the copies in {storage_uri()} stay"
    print(f"nmt: {text}", file=sys.stderr)  # noqa: T201


def _prepare() -> None:
    quieten_libraries()
    from infra.running_stack import use_running_stack
    from pipeline.store.storage import check_storage
    from pipeline.store.writable import check_home

    check_storage()
    check_home()
    use_running_stack()


def _print(artifacts: "Sequence[Stored]", with_storage: bool) -> None:
    headings = ["stage", "id", "size", "made", *(["where"] if with_storage else []), "from", "needed by"]
    rows = [
        [
            artifact.stage,
            artifact.fingerprint[:8],
            size_text(artifact.bytes),
            short_time_text(artifact.made),
            *([_where(artifact)] if with_storage else []),
            artifact.origin,
            artifact.users,
        ]
        for artifact in artifacts
    ]
    print_rows(headings, rows, right=("size",))


def _where(artifact: "Stored") -> str:
    if artifact.path is None:
        return "storage"
    return "both" if artifact.shared else "here"


def _print_left(found: "Collection", begun: "Sequence[Stored]") -> None:
    """Say what is left, and why."""
    for artifacts, why in (
        (found.needed, "what registered models were made from"),
        (found.used, "what a run uses or can go on with"),
        (found.young, "made in the last hour"),
        (begun, "a run has begun to use it"),
    ):
        if artifacts:
            size = size_text(sum(artifact.bytes for artifact in artifacts))
            print(f"nmt: {len(artifacts)} left, {size}: {why}", file=sys.stderr)  # noqa: T201


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands to a command line, under a heading of its help."""
    app.add_typer(store, name="store", rich_help_panel=panel)
