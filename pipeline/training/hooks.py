"""What the loop is given: its data, step by step, and plain functions that it calls."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from model.seq2seq import Batch, Seq2Seq
from pipeline.training.progress import Progress

if TYPE_CHECKING:  # Each knows the other.
    from pipeline.training.trainer import Trainer


@dataclass(frozen=True)
class Share:
    """One worker's part of a global batch, or a part of that if gradients are accumulated."""

    batch: Batch
    rows: Tensor
    """int64 (B,): the rows of these sentences in the global batch."""
    tokens: int
    """Target tokens, with `end` and without padding."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Share":
        """Return the share with all of its tensors changed: pinned, or copied to a device."""
        return Share(self.batch.map(change), change(self.rows), self.tokens)

    def parts(self, number: int) -> Iterator[tuple[Batch, Tensor]]:
        """Yield so many parts of the batch with their rows, as far as there are sentences: every n-th of each."""
        for first in range(min(number, len(self.rows))):
            share = self if number == 1 else self.map(partial(_every, first, number))
            yield share.batch, share.rows


def _every(first: int, number: int, tensor: Tensor) -> Tensor:
    return tensor[first::number].contiguous()


@dataclass(frozen=True)
class Epochs:
    """The training data. A step is known by its epoch and its place in that epoch's plan."""

    steps: Callable[[int, int], Generator[list[Share], None, None]]
    """`steps(e, b)` yields this worker's shares of the steps of epoch `e`, in order, from the step `b` on. Closed when
    the loop ends early, so that nothing is prepared any more."""
    tokens: Callable[[int], Sequence[int]]
    """Returns the target tokens of each step of an epoch, over all workers; the same on every worker."""
    describe: Callable[[int, int], str] = lambda epoch, batch: f"batch {batch} of epoch {epoch}"
    """Says in words what pairs a step has."""
    resume: Callable[[Progress], None] = lambda _: None
    """Told how far a run is that goes on: what an epoch has may depend on the steps before it."""


@dataclass(frozen=True)
class Hooks:
    """Plain functions that the loop calls; a test can pass a list's `append`."""

    validate: Callable[[Seq2Seq], Mapping[str, float]]
    """Returns the figures on the validation set, the same on every worker: `bleu`, `validation_loss` and the metric
    that selects."""
    report_step: Callable[[Mapping[str, float]], None]
    """Receives the figures of a step: floats by name."""
    report_validation: Callable[[Mapping[str, float], "Trainer"], None]
    """Receives the figures of a validation and the trainer, on every worker; saves a checkpoint."""
    save: Callable[["Trainer"], None] = lambda _: None
    """Saves a checkpoint between two validations; called on every worker."""
    stop_asked: Callable[[], bool] = lambda: False
    """Whether the run is to stop after this step and be continued later; any worker may say so."""
    warn: Callable[[str], None] = lambda _: None
    """Receives what the user should know, on every worker."""
    matmul_seconds: Callable[[Share], float] = lambda _: 0.0
    """Returns the seconds that a share's matrix products take on this machine: what a step's time is compared with.
    Not a number while the machine is busy with something else; the share of its speed is then left out."""
    between_steps: Callable[[], None] = lambda: None
    """Called after each step."""
