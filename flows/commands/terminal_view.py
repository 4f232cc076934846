"""How a run shows its progress on a terminal: a line per event, and a bar for the stage that is running."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.progress import STAGE_WIDTH, LogView
from pipeline.store.store import Reuse
from pipeline.training.history import Record, is_validation


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
        """Move the bar to the step's place, with its loss and speed; write a line for a validation."""
        super().record(record)
        if not is_validation(record):
            state = f"loss {record['loss']:.3f}, {record['target_tokens_per_second']:,.0f} tokens/s"
            self._progress.update(self._task, completed=record["done"], state=state)

    def told(self, text: str) -> None:
        """Show it beside the bar."""
        self._progress.update(self._task, state=text)

    def ended(self, summary: str, reused: Reuse) -> None:
        """Write the line and hide the bar."""
        self._progress.update(self._task, visible=False)
        super().ended(summary, reused)
