"""The training loop: step, validate, stop. Knows torch, but no tracker, no file and no cluster."""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from model.dropout import DropoutNoise
from model.forcing import TeacherForcing
from model.loss import Loss
from model.products import fastest_products
from model.seq2seq import Batch, Seq2Seq
from model.steadiness import same_with_any_threads
from pipeline.config import SelectBy, TrainingConfig
from pipeline.errors import InputError
from pipeline.metrics.metrics import metric_titled
from pipeline.training.gpu.graphs import GraphApi, call
from pipeline.training.gpu.step import GraphedStep
from pipeline.training.gradients import Gradients, Reading
from pipeline.training.history import EpochSums
from pipeline.training.machine.precision import matmul_precision
from pipeline.training.schedules import learning_rate, teacher_forcing_ratio

NEAR_ZERO = 1.0
"""BLEU below this says that a model has learnt next to nothing, not how little."""


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


@dataclass(frozen=True)
class Progress:
    """How far a run is; all that a resumed run needs besides the weights and the optimizer's moments."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished optimizer steps."""
    best_score: float = -1e9
    """Of the best epoch so far: see `selection_score`."""
    lowest_loss: float = 1e9
    """On the validation set."""
    stale_epochs: int = 0
    """Epochs that count towards `training.patience`."""


def selection_score(figures: Mapping[str, float], select_by: SelectBy) -> float:
    """Return what the best epoch has most of: the metric that selects, and where that is equal, the lower loss."""
    loss = min(figures["validation_loss"], 1e6)
    return -loss if select_by == "loss" else figures[metric_titled(select_by).key] - 1e-7 * loss


@dataclass(frozen=True)
class Epochs:
    """The training data: `steps(e)` yields this worker's shares of every step of epoch `e`, in order."""

    steps: Callable[[int], Generator[list[Share], None, None]]
    """Closed when the loop ends early, so that nothing is prepared any more."""
    count: Callable[[int], int]
    """Returns the number of steps of an epoch, the same on every worker."""


@dataclass(frozen=True)
class Hooks:
    """Plain functions that the loop calls; a test can pass a list's `append`."""

    validate: Callable[[Seq2Seq], Mapping[str, float]]
    """Returns the figures on the validation set, the same on every worker: `bleu`, `validation_loss` and the metric
    that selects."""
    report_step: Callable[[Mapping[str, float]], None]
    """Receives the figures of a step: floats by name."""
    report_epoch: Callable[[Mapping[str, float], "Trainer"], None]
    """Receives the figures of an epoch and the trainer, on every worker; saves checkpoints."""
    matmul_seconds: Callable[[Share], float] = lambda _: 0.0
    """Returns the seconds that a share's matrix products take on this machine: what a step's time is compared with.
    Not a number while the machine is busy with something else; the epoch's share of its speed is then left out."""
    between_steps: Callable[[], None] = lambda: None
    """Called after each step."""


@dataclass(frozen=True)
class _Taken:
    """A step that was enqueued, and what is reported with its loss."""

    step: int
    epoch: float
    rate: float
    forced: float
    read: Reading


@dataclass
class Trainer:
    """Fits a model; read `fit` first."""

    model: Seq2Seq
    config: TrainingConfig
    dropout: float
    epochs: Epochs
    hooks: Hooks
    progress: Progress = field(default_factory=Progress)
    graphs: GraphApi | None = None
    """What records the steps on a GPU; None: they are called."""

    def __post_init__(self) -> None:
        device = next(self.model.parameters()).device
        on_gpu = device.type == "cuda" or self.graphs is not None
        self._gradients = Gradients(self.model, self.config.adam_beta2, on_gpu=on_gpu)
        self.optimizer = self._gradients.optimizer
        # Where the model is, so that a CUDA graph of the step can read it.
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._graphed = None if self.graphs is None else GraphedStep(self.graphs, device)

    def fit(self) -> Progress:
        """Train until all epochs are done or `select_by` has stopped improving; return the progress."""
        while not self.finished:
            device = next(self.model.parameters()).device
            with fastest_products(device), matmul_precision(self.config.precision, device) as in_bf16:
                figures = self._epoch() | {"train_bf16": float(in_bf16)}
            figures |= self.hooks.validate(self.model.eval())
            if not math.isfinite(loss := figures["validation_loss"]):  # The last step has spoilt the weights.
                raise self._diverged(f"after step {self.progress.step} the validation loss is {loss}")
            self.progress = self._judge(figures)
            self.hooks.report_epoch(figures | {"epoch": self.progress.epoch}, self)
        return self.progress

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do; also true for a finished run that is resumed."""
        return self.progress.epoch >= self.config.epochs or self.progress.stale_epochs >= self.config.patience

    def _judge(self, figures: Mapping[str, float]) -> Progress:
        """Return the progress after an epoch. Near BLEU 0, which says little, a falling loss costs no patience."""
        progress, loss = self.progress, figures["validation_loss"]
        score = selection_score(figures, self.config.select_by)
        learning = figures["bleu"] < NEAR_ZERO and loss < progress.lowest_loss
        stale = 0 if score > progress.best_score else progress.stale_epochs + (not learning)
        return replace(
            progress,
            epoch=progress.epoch + 1,
            best_score=max(score, progress.best_score),
            lowest_loss=min(loss, progress.lowest_loss),
            stale_epochs=stale,
        )

    def _epoch(self) -> dict[str, float]:
        """Take all steps of the next epoch; return its mean training loss, its speed, and where the time went.

        On a GPU the host reads a step's loss when it has enqueued the next one: the GPU never waits for the host.
        """
        self.model.train()
        epoch, steps = self.progress.epoch, self.epochs.count(self.progress.epoch)
        sums, late, behind = EpochSums(), deque[_Taken](), int(self._gradients.on_gpu)
        began = ended = time.perf_counter()
        with closing(self.epochs.steps(epoch)) as data:
            for index, shares in enumerate(data):
                sums.waiting += time.perf_counter() - ended
                done = (epoch + index / steps) / self.config.epochs
                rate = learning_rate(self.config, self.progress.step + 1, done)
                forced = teacher_forcing_ratio(self.config, self.progress.step + 1, done)
                read = self._step(shares, rate, forced)
                late.append(_Taken(self.progress.step, epoch + (index + 1) / steps, rate, forced, read))
                while len(late) > (behind if index + 1 < steps else 0):
                    began = self._finish(late.popleft(), began, sums, last=index + 1 == steps and not late)
                self.hooks.between_steps()
                ended = time.perf_counter()
                sums.matmul += sum(self.hooks.matmul_seconds(share) for share in shares)
                # The next step starts by waiting for its data; to measure products belongs to none.
                measured, ended = time.perf_counter() - ended, time.perf_counter()
                began += measured
        graphed = {} if self._graphed is None else {"train_graph_share": self._graphed.share}
        return {"step": self.progress.step, **sums.figures(), **graphed}

    @property
    def graphs_used(self) -> str:
        """What part CUDA graphs had, in words."""
        return "not used" if self._graphed is None else self._graphed.describe()

    def _finish(self, taken: _Taken, began: float, sums: EpochSums, last: bool) -> float:
        """Read and report the loss of a step whose time began at `began`; return when that of the next one begins.

        Raises InputError if it is not finite.
        """
        loss = taken.read()
        if not math.isfinite(loss.smoothed + loss.norm):
            at = f"at step {taken.step}"
            raise self._diverged(f"{at} the loss is {loss.smoothed} and the gradient's norm {loss.norm}")
        sums.smoothed, sums.nll = sums.smoothed + loss.smoothed * loss.tokens, sums.nll + loss.nll * loss.tokens
        sums.tokens += loss.tokens
        stepped = time.perf_counter() - began
        if taken.step % self.config.log_every == 0 or last:
            self.hooks.report_step(
                {
                    "step": taken.step,
                    "epoch": taken.epoch,
                    "tokens": loss.tokens,
                    "loss": loss.smoothed,
                    "perplexity": math.exp(min(loss.nll, 700.0)),
                    "learning_rate": taken.rate,
                    "teacher_forcing": taken.forced,
                    "gradient_norm": loss.norm,
                    "target_tokens_per_second": loss.tokens / stepped,
                }
            )
        ended = time.perf_counter()
        sums.seconds, sums.reporting = sums.seconds + ended - began, sums.reporting + ended - began - stepped
        return ended

    def _step(self, shares: list[Share], rate: float, forced: float) -> Reading:
        """Take one optimizer step; return what reads its loss over all workers. Nothing here waits for a GPU."""
        self._gradients.reset()
        self._gradients.set_rate(rate)
        self._number.fill_(self.progress.step)
        for share in shares:
            accumulate = partial(self._accumulate, share.batch, share.rows, forced)
            if self._graphed is None:
                accumulate()
            elif forced < 1.0:
                self._graphed.call(accumulate)
            else:
                self._graphed.accumulate(self._accumulate, share.batch, share.rows)
        self.progress = replace(self.progress, step=self.progress.step + 1)
        return self._gradients.apply(self.config.clip_norm, call if self._graphed is None else self._graphed.update)

    def _accumulate(self, batch: Batch, rows: Tensor, forced: float = 1.0) -> None:
        """Add the loss and the gradients of a share."""
        seed, step = self.config.seed, self._number
        noise = DropoutNoise(self.dropout, seed, step, rows, self.model.mask_units) if self.dropout else None
        forcing = None  # With all tokens from the reference, all are known beforehand: the fast path.
        if forced < 1.0:
            forcing = TeacherForcing(forced, self.config.teacher_forcing_per, seed, step, rows)
        with same_with_any_threads(len(rows), rows.device):
            loss: Loss = self.model(batch, noise, self.config.label_smoothing, forcing)
            loss.smoothed.backward()  # type: ignore[no-untyped-call]
        self._gradients.add_totals(loss)

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"training.learning_rate={self.config.learning_rate}: {what}: training has diverged; lower the rate"
        )
