"""Tables on a terminal, lines in a pipe; numbers for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return Console().is_terminal


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal; in a pipe, a line per row, so that `grep` finds whole ones."""
    console = Console()
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(map(str.ljust, row, widths)).rstrip())  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=heading != headings[-1], style="" if number else "cyan")
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
