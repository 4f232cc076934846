"""Tables on a terminal, lines in a pipe; sizes and times for people."""

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


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return Console().is_terminal


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal; in a pipe, a line per row, so that `grep` finds whole ones."""
    if not on_terminal():
        _print_plain(rows)
        return
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=heading != headings[-1], style="" if number else "cyan")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table on a terminal; in a pipe the same as lines, with the headings.

    Columns in `right` are numbers. The last column takes what is left of the width.
    """
    if not on_terminal():
        _print_plain((headings, *rows), [heading in right for heading in headings])
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
    Console(highlight=False).print(table)


def _print_plain(rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_the_right = right or [False] * len(widths)
    for row in rows:
        cells = zip(row, widths, to_the_right, strict=True)
        print("  ".join(cell.rjust(w) if number else cell.ljust(w) for cell, w, number in cells).rstrip())  # noqa: T201


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
