"""How the commands about `$NMT_HOME` show rows, lines, sizes and times."""

import textwrap
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 100
"""On a terminal of fewer columns, times are days."""
INDENT = 12
"""Where the texts of named lines begin."""


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


def print_line(name: str, text: str) -> None:
    """Print a text after its name; on a terminal in lines of its width, below each other."""
    console = Console(highlight=False)
    width = max(console.width - INDENT, 20) if console.is_terminal else 10**6
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        console.print(f"{'' if number else name:<{INDENT}}{line}".rstrip(), markup=False, soft_wrap=True)


def size_text(number: float) -> str:
    """Return a number of bytes for people."""
    if number < 1024:
        return f"{number:.0f} B"
    for unit in ("KiB", "MiB"):
        number /= 1024
        if number < 1024:
            return f"{number:.{unit == 'MiB':d}f} {unit}"
    return f"{number / 1024:.1f} GiB"


def time_text(time: datetime | None) -> str:
    """Return a time of this machine's clock for people."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"


def short_time_text(time: datetime) -> str:
    """Return a time for a table with many columns."""
    console = Console()
    return time_text(time).partition(" ")[0] if console.is_terminal and console.width < NARROW else time_text(time)
