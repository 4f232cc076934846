"""How a run shows its progress: one line per event, in a log."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from pipeline.metrics.metrics import METRICS
from pipeline.store.store import Reuse
from pipeline.training.history import Record, is_validation

STAGE_WIDTH = 12
SECONDS_BETWEEN_LINES = 30.0


class View(Protocol):
    """Receives the progress of a flow."""

    def began(self, stage: str, total: float | None = None, state: str = "", system: str = "") -> None:
        """Begin a stage; `total` is its work in the units of `advanced`, None if unknown; `state` is shown.

        `system` names the system that the stage is for, in an ablation or a comparison.
        """

    def advanced(self, amount: float) -> None:
        """Count work of the current stage as done."""

    def record(self, record: Record) -> None:
        """Take the figures of a training step or validation; the total of a training is 1."""

    def ended(self, summary: str, reused: Reuse) -> None:
        """End the current stage."""

    def warned(self, text: str) -> None:
        """Show what the user should not miss about the stage that has ended."""

    def told(self, text: str) -> None:
        """Show how far the current stage is, in its own words."""


def epoch_text(epoch: float) -> str:
    """Return how many epochs have passed: 3, or 2.50."""
    return f"{epoch:.0f}" if epoch == int(epoch) else f"{epoch:.2f}"


def validation_line(record: Record) -> str:
    """Return a validation's figures as one line."""
    share, precision = record.get("train_matmul_share"), "bf16" if record["train_bf16"] else "fp32"
    scores = ", ".join(f"{metric.title} {record[key]:.2f}" for key, metric in METRICS.items() if key in record)
    # The products are timed once, at the start: a machine that was busy then makes them look slow.
    known = share is not None and share <= 1
    speed = f"{share:.0%} of {precision} matmul speed" if known else "the machine was busy: no share of its speed"
    return (
        f"epoch {epoch_text(record['epoch'])}: {scores}, perplexity {record['validation_perplexity']:.2f}, "
        f"training loss {record['train_loss']:.3f}, {record['train_target_tokens_per_second']:,.0f} target tokens/s "
        f"({speed})"
    )


class LogView:
    """One line per event and validation."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Take where the lines go."""
        self._write = write
        self._title, self._began, self._told = "", 0.0, time.monotonic()

    def began(self, stage: str, total: float | None = None, state: str = "", system: str = "") -> None:
        """Note the time; a line follows when the stage ends."""
        self._title = f"{stage:<{STAGE_WIDTH}} " + (f"{system}: " if system else "")
        self._began = self._told = time.monotonic()

    def advanced(self, amount: float) -> None:
        """Say nothing."""

    def record(self, record: Record) -> None:
        """Write a line for a validation."""
        if is_validation(record):
            self._write(f"{self._title}{validation_line(record)}")

    def ended(self, summary: str, reused: Reuse) -> None:
        """Write what the stage made."""
        took = reused.text if reused else f"{time.monotonic() - self._began:.1f} s"
        self._write(f"{self._title}{summary} ({took})")

    def warned(self, text: str) -> None:
        """Write a line."""
        self._write(f"{self._title}WARNING: {text}")

    def told(self, text: str) -> None:
        """Write a line, if the stage has gone on for a while without one."""
        if time.monotonic() - self._told >= SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            self._write(f"{self._title}{text}")


CURRENT_VIEW: ContextVar[View | None] = ContextVar("CURRENT_VIEW", default=None)
"""Set by the command line; a flow that a worker runs finds None and writes to Prefect's log."""
