"""The training loop: step, validate, stop. Knows torch, but no tracker, no file and no cluster."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from model.dropout import DropoutNoise
from model.forcing import TeacherForcing
from model.loss import Loss
from model.seq2seq import Batch, Seq2Seq
from pipeline.config import SelectBy, TrainingConfig
from pipeline.errors import InputError
from pipeline.metrics.metrics import metric_titled
from pipeline.training.gradients import Gradients, StepLoss
from pipeline.training.precision import matmul_precision

NEAR_ZERO = 1.0
"""BLEU below this says that a model has learnt next to nothing, not how little."""


@dataclass(frozen=True)
class Share:
    """One worker's part of a global batch, or a part of that if gradients are accumulated."""

    batch: Batch
    rows: Tensor
    """int64 (B,): the rows of these sentences in the global batch."""
    global_size: int


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

    steps: Callable[[int], Iterable[list[Share]]]
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
    matmul_seconds: Callable[[Batch], float] = lambda _: 0.0
    """Returns the seconds that a batch's matrix products take on this machine: what a step's time is compared with."""


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """Return the learning rate of optimizer step `step` (from 1) after the share `done` of all epochs.

    Linear warm-up times half a cosine down to `final_learning_rate` times the peak (Loshchilov and
    Hutter 2017, "SGDR", eq. 5).
    """
    floor = config.final_learning_rate
    decay = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.learning_rate * min(1.0, step / max(1, config.warmup_steps)) * decay


def teacher_forcing_ratio(config: TrainingConfig, step: int, done: float) -> float:
    """Return the share of target tokens that optimizer step `step` (from 1) feeds from the reference.

    Bengio et al. 2015, "Scheduled Sampling", section 2.4: with e the lowest share, linear is 1 - (1 - e) * done,
    where `done` is the finished share of all epochs, and inverse sigmoid is max(e, k / (k + exp(step / k))).
    """
    lowest, k = config.teacher_forcing, config.teacher_forcing_decay
    if config.teacher_forcing_schedule == "linear":
        return 1.0 - (1.0 - lowest) * min(1.0, done)
    if config.teacher_forcing_schedule == "inverse-sigmoid":
        return max(lowest, k / (k + math.exp(min(step / k, 700.0))))
    return lowest


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's dropout noise, different for every step and run."""
    return seed * 1_000_003 + step


@dataclass
class _EpochTimes:
    """Seconds of an epoch's steps, and of these: waiting for data, reporting, and what the products alone take."""

    seconds: float = 0.0
    waiting: float = 0.0
    reporting: float = 0.0
    matmul: float = 0.0

    def add(self, seconds: float, waiting: float, reporting: float, matmul: float) -> None:
        self.seconds, self.waiting = self.seconds + seconds, self.waiting + waiting
        self.reporting, self.matmul = self.reporting + reporting, self.matmul + matmul


@dataclass
class Trainer:
    """Fits a model; read `fit` first."""

    model: Seq2Seq
    config: TrainingConfig
    dropout: float
    epochs: Epochs
    hooks: Hooks
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), betas=(0.9, self.config.adam_beta2), eps=1e-9, fused=True
        )
        self._gradients = Gradients(self.model)

    def fit(self) -> Progress:
        """Train until all epochs are done or `select_by` has stopped improving; return the progress."""
        while not self.finished:
            device = next(self.model.parameters()).device
            with matmul_precision(self.config.precision, device) as in_bf16:
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
        """Take all steps of the next epoch; return its mean training loss, its speed, and where the time went."""
        self.model.train()
        epoch, steps = self.progress.epoch, self.epochs.count(self.progress.epoch)
        smoothed, nll, tokens = 0.0, 0.0, 0
        spent = _EpochTimes()
        began = time.perf_counter()
        for index, shares in enumerate(self.epochs.steps(epoch)):
            waited = time.perf_counter() - began
            done = (epoch + index / steps) / self.config.epochs
            rate = learning_rate(self.config, self.progress.step + 1, done)
            forced = teacher_forcing_ratio(self.config, self.progress.step + 1, done)
            loss, norm = self._step(shares, rate, forced)
            smoothed, nll = smoothed + loss.smoothed * loss.tokens, nll + loss.nll * loss.tokens
            tokens += loss.tokens
            stepped = time.perf_counter() - began
            if self.progress.step % self.config.log_every == 0 or index + 1 == steps:
                self.hooks.report_step(
                    {
                        "step": self.progress.step,
                        "epoch": epoch + (index + 1) / steps,
                        "tokens": loss.tokens,
                        "loss": loss.smoothed,
                        "perplexity": math.exp(min(loss.nll, 700.0)),
                        "learning_rate": rate,
                        "teacher_forcing": forced,
                        "gradient_norm": norm,
                        "target_tokens_per_second": loss.tokens / stepped,
                    }
                )
            reported = time.perf_counter() - began - stepped
            spent.add(
                stepped + reported, waited, reported, sum(self.hooks.matmul_seconds(share.batch) for share in shares)
            )
            began = time.perf_counter()  # The next step starts by waiting for its data.
        return {
            "step": self.progress.step,
            "train_loss": smoothed / tokens,
            "train_perplexity": math.exp(min(nll / tokens, 700.0)),
            "train_target_tokens_per_second": tokens / spent.seconds,
            "train_seconds": spent.seconds,
            "train_waiting_share": spent.waiting / spent.seconds,
            "train_reporting_share": spent.reporting / spent.seconds,
            "train_matmul_share": spent.matmul / spent.seconds,
        }

    def _step(self, shares: list[Share], rate: float, forced: float) -> tuple[StepLoss, float]:
        """Take one optimizer step; return the loss over all workers and the gradient's norm."""
        self._gradients.reset()
        seed = step_seed(self.config.seed, self.progress.step)
        for share in shares:
            noise = DropoutNoise(self.dropout, seed, share.rows, share.global_size) if self.dropout else None
            forcing = None  # With all tokens from the reference, all are known beforehand: the fast path.
            if forced < 1.0:
                # Another seed than dropout's, whose draws would begin with the same numbers.
                per = self.config.teacher_forcing_per
                forcing = TeacherForcing(forced, per, seed + 2**40, share.rows, share.global_size)
            loss: Loss = self.model(share.batch, noise, self.config.label_smoothing, forcing)
            loss.smoothed.backward()  # type: ignore[no-untyped-call]
            self._gradients.add_totals(loss)
        mean = self._gradients.average()
        norm = self._gradients.clip(mean.tokens, self.config.clip_norm)
        if not math.isfinite(mean.smoothed + norm):
            at = f"at step {self.progress.step + 1}"
            raise self._diverged(f"{at} the loss is {mean.smoothed} and the gradient's norm {norm}")
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.progress = replace(self.progress, step=self.progress.step + 1)
        return mean, norm

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"training.learning_rate={self.config.learning_rate}: {what}: training has diverged; lower the rate"
        )
