"""How the commands about `$NMT_HOME` show rows, sizes and times."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table on a terminal; in a pipe, a line per row, so that `grep` finds whole ones.

    Columns in `right` are numbers. The last column takes what is left of the width.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for row in (headings, *rows):
            cells = zip(headings, row, widths, strict=True)
            line = "  ".join(cell.rjust(width) if name in right else cell.ljust(width) for name, cell, width in cells)
            print(line.rstrip())  # noqa: T201
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=heading not in headings[-2:],
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def size_text(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def time_text(time: datetime | None) -> str:
    """Return a time of this machine's clock for people."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"
