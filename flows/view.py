"""How a run shows itself: a live display on a terminal, one line an event in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.history import Record, is_epoch

STAGE_WIDTH = 12


class View(Protocol):
    """What a flow tells of its progress."""

    def began(self, stage: str, total: float | None = None, state: str = "", system: str = "") -> None:
        """Begin a stage; `total` is its work, in what `advanced` counts, where that is known; `state` is shown.

        `system` says which of several systems the stage is of.
        """

    def advanced(self, amount: float) -> None:
        """Count work of the current stage as done."""

    def record(self, record: Record) -> None:
        """Take the figures of a training step or epoch; a stage of training has its epochs as total."""

    def ended(self, summary: str, reused: bool) -> None:
        """End the current stage."""


def epoch_line(record: Record) -> str:
    """Return what one line says of an epoch."""
    return (
        f"epoch {record['epoch']:.0f}: BLEU {record['bleu']:.2f}, perplexity {record['validation_perplexity']:.2f}, "
        f"training loss {record['train_loss']:.3f}, {record['train_target_tokens_per_second']:,.0f} target tokens/s "
        f"({record['train_products_share']:.0%} of its {'bf16' if record['train_bf16'] else 'fp32'} products' rate)"
    )


class LogView:
    """One line an event and an epoch."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Take where the lines go."""
        self._write = write
        self._title, self._began = "", 0.0

    def began(self, stage: str, total: float | None = None, state: str = "", system: str = "") -> None:
        """Note the time; a line follows when the stage ends."""
        self._title = f"{stage:<{STAGE_WIDTH}} " + (f"{system}: " if system else "")
        self._began = time.monotonic()

    def advanced(self, amount: float) -> None:
        """Say nothing."""

    def record(self, record: Record) -> None:
        """Write a line for an epoch."""
        if is_epoch(record):
            self._write(f"{self._title}{epoch_line(record)}")

    def ended(self, summary: str, reused: bool) -> None:
        """Write what the stage made."""
        took = "reused" if reused else f"{time.monotonic() - self._began:.1f} s"
        self._write(f"{self._title}{summary} ({took})")


class TerminalView(LogView):
    """The same lines, and under them a bar for the stage that is running."""

    def __init__(self, console: Console) -> None:
        """Take the console to draw on."""
        super().__init__(lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
        self._progress = Progress(
            TextColumn(f"{{task.description:<{STAGE_WIDTH}}}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", visible=False, state="")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the context lasts; the bar is gone after it, whatever happens."""
        with self._progress:
            yield

    def began(self, stage: str, total: float | None = None, state: str = "", system: str = "") -> None:
        """Show a bar, moving without end where the total is not known."""
        super().began(stage, total, state, system)
        title = f"{stage:<{STAGE_WIDTH}} {system}" if system else stage
        self._progress.reset(self._task, description=title, total=total, visible=True, state=state)

    def advanced(self, amount: float) -> None:
        """Move the bar."""
        self._progress.advance(self._task, amount)

    def record(self, record: Record) -> None:
        """Move the bar to the step's place, with its loss and speed; write a line for an epoch."""
        super().record(record)
        if not is_epoch(record):
            state = f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s"
            self._progress.update(self._task, completed=record["epoch"], state=state)

    def ended(self, summary: str, reused: bool) -> None:
        """Write the line and hide the bar."""
        self._progress.update(self._task, visible=False)
        super().ended(summary, reused)


CURRENT_VIEW: ContextVar[View | None] = ContextVar("CURRENT_VIEW", default=None)
"""Set by the command line; a flow that a worker runs finds none and writes to Prefect's log."""
