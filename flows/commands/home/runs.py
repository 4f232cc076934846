"""`nmt runs`: which trainings run, which have stopped and how they are continued, which are finished."""

import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.console import one_line_errors, quieten_libraries
from flows.commands.streams import print_json
from flows.commands.tables import on_terminal, print_columns, size_text
from flows.progress import epoch_text
from pipeline.errors import InputError
from pipeline.store.storage import check_storage, home
from pipeline.store.writable import check_home
from pipeline.upkeep.runs import Training, chosen, find_trainings, id_length

HEADINGS = ("id", "name", "state", "progress", "BLEU", "last active", "size")


@one_line_errors()
def runs(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="These alone, by the first characters of their ids.")
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Show the files of stopped runs that nobody needs, or all of the named.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what --clean shows; else nothing is removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show which trainings run, which have stopped and how to continue them, and which are finished."""
    if yes and not clean:
        raise InputError("--yes: it removes what --clean shows; add --clean")
    show_runs(ids or [], clean, yes, as_json)


def show_runs(ids: Sequence[str], clean: bool, yes: bool, as_json: bool) -> None:
    """Show the trainings, or with `clean` what nobody needs of them, which is removed if `yes`."""
    quieten_libraries()
    check_storage()
    check_home()
    trainings = find_trainings()
    length = id_length(trainings)
    if clean:
        _clean(trainings, ids, yes, as_json, length)
        return
    shown = chosen(trainings, ids)
    if as_json:
        summaries = [{"id": each.fingerprint[:length], **each.summary(_program())} for each in shown]
        print_json({"home": str(home()), "trainings": summaries})
    elif shown:
        _show(shown, length)
    else:
        _say(f"there are no trainings in {home()} yet; `nmt train` begins one")


def _show(trainings: Sequence[Training], length: int) -> None:
    """Print a table, then how each that has stopped is continued; in a pipe, both in one line per training."""
    rows = [
        (
            each.fingerprint[:length],
            each.name or "?",
            _state(each),
            _progress(each),
            "" if each.bleu is None else f"{each.bleu:.2f}",
            _ago(each.active),
            size_text(each.bytes),
        )
        for each in trainings
    ]
    commands = [each.continued_by(_program()) or "" for each in trainings]
    if not on_terminal():  # A line per training: `grep` finds whole ones.
        print_columns(
            (*HEADINGS, "continued by"), [(*row, command) for row, command in zip(rows, commands, strict=True)]
        )
        return
    print_columns(HEADINGS, rows)
    for row, training, command in zip(rows, trainings, commands, strict=True):
        if training.state in {"stopped", "elsewhere"}:  # Below the table, which would cut it: it is to be pasted.
            print(f"\n{row[0]} is continued by")  # noqa: T201
            print(command or "the command that began it, which an older version did not write down")  # noqa: T201


def _state(training: Training) -> str:
    if training.state == "elsewhere" and training.record is not None:
        return f"on {training.record.host}"
    return training.state


def _progress(training: Training) -> str:
    """Return how far a training is, in words."""
    if not training.last:
        return "before the first step"
    done = f" ({training.last['done']:.0%})" if training.state != "finished" and "done" in training.last else ""
    return f"step {training.last['step']:,.0f}, epoch {epoch_text(training.last['epoch'])}{done}"


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if number := int(seconds // length):
            return f"{number} {unit}{'s' * (number > 1)} ago"
    return "now"


def _clean(trainings: Sequence[Training], ids: Sequence[str], yes: bool, as_json: bool, length: int) -> None:
    # Imported where it is needed: it looks into checkpoints, with libraries that take seconds.
    from pipeline.upkeep.unneeded import find_unneeded, remove

    found = find_unneeded(trainings, ids)
    left = remove(found) if yes else []
    if as_json:
        unneeded = [
            {
                "id": each.training.fingerprint[:length],
                "reason": each.reason,
                "bytes": each.bytes,
                "files": [file.place for file in each.files],
                "removed": yes and each not in left,
            }
            for each in found
        ]
        print_json({"home": str(home()), "unneeded": unneeded})
        return
    if not found:
        _say("there is nothing to remove")
        return
    rows = [
        (each.training.fingerprint[:length], each.training.name or "?", file.place, size_text(file.bytes), each.reason)
        for each in found
        for file in each.files
    ]
    print_columns(("id", "name", "file", "size", "why nobody needs it"), rows)
    for each in left:
        _say(f"{each.training.fingerprint[:length]} is left: a command trains it now")
    total = size_text(sum(each.bytes for each in found if each not in left))
    again = " ".join(["nmt runs --clean --yes", *ids])
    _say(f"removed {total}" if yes else f"`{again}` removes {total}")


def _program() -> str:
    """Return how this program is called: as `make run` calls it, it is not on the path."""
    return "nmt" if shutil.which("nmt") else sys.argv[0]


def _say(text: str) -> None:
    print(f"nmt: {text}", file=sys.stderr)  # noqa: T201


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to a command line, under a heading of its help."""
    app.command(rich_help_panel=panel)(runs)
