"""The training loop: step, validate, save, stop. Knows torch, but no tracker, no file and no cluster."""

import math
import time
from collections import deque
from collections.abc import Sequence
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
from pipeline.amounts import Amount
from pipeline.config import TrainingConfig
from pipeline.errors import InputError
from pipeline.inference.devices import first_sentence, is_out_of_memory
from pipeline.training.gpu.graphs import GraphApi, call
from pipeline.training.gpu.step import GraphedStep
from pipeline.training.gradients import Asks, Gradients, Reading
from pipeline.training.history import Sums
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.machine.precision import matmul_precision
from pipeline.training.progress import Progress
from pipeline.training.schedules import learning_rate, share_done, teacher_forcing_ratio

UNSAVED_SECONDS = 60.0
"""After so many seconds of steps there is a checkpoint before a validation, too."""


@dataclass(frozen=True)
class _Taken:
    """A step that was enqueued, and what is reported with its loss."""

    place: Progress
    """After the step."""
    due: Asks
    """What the data say is to be done after it, on every worker alike."""
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
    sums: Sums = field(default_factory=Sums)
    """Since the last validation."""
    graphs: GraphApi | None = None
    """What records the steps on a GPU; None: they are called."""
    stopped: bool = False
    """Whether `fit` has returned because it was asked to stop, and not because all was done."""

    def __post_init__(self) -> None:
        device = next(self.model.parameters()).device
        on_gpu = device.type == "cuda" or self.graphs is not None
        self._gradients = Gradients(self.model, self.config.adam_beta2, on_gpu=on_gpu)
        self.optimizer = self._gradients.optimizer
        # Where the model is, so that a CUDA graph of the step can read it.
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._graphed = None if self.graphs is None else GraphedStep(self.graphs, device)
        self._time_is_up = False
        self._parts = 1
        self._validates = Amount.parse(self.config.validate_every)
        self._saves = None if self.config.save_every is None else Amount.parse(self.config.save_every)

    def fit(self) -> Progress:
        """Train until `config.limits` or patience end it, or it is asked to stop; return the progress.

        Whatever all workers must agree on, they see in the sums of a step: their clocks differ.
        """
        self._time_is_up = any(limit.is_time and limit.of(self.progress) >= 1 for limit in self.config.limits)
        while not self.stopped and not self.finished:
            if self.progress.validation_due:
                self._validate()
                continue
            device = next(self.model.parameters()).device
            with fastest_products(device), matmul_precision(self.config.precision, device) as in_bf16:
                self.sums.in_bf16 = in_bf16
                self._run()
        return self.progress

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do; also true for a finished run that is resumed."""
        over = self._time_is_up or self._is_over or self.progress.stale >= self.config.patience
        return over and not self.progress.validation_due

    @property
    def _is_over(self) -> bool:
        """Whether a limit is reached that the data set, not the clock."""
        return any(limit.of(self.progress) >= 1 for limit in self.config.limits if not limit.is_time)

    def _validate(self) -> None:
        graphed = {} if self._graphed is None else {"train_graph_share": self._graphed.share}
        figures = {"step": self.progress.step, **self.sums.figures(), **graphed}
        figures |= self.hooks.validate(self.model.eval())
        if not math.isfinite(loss := figures["validation_loss"]):  # The last step has spoilt the weights.
            raise self._diverged(f"after step {self.progress.step} the validation loss is {loss}")
        self.progress = self.progress.judge(figures, self.config.select_by)
        self.sums = Sums()
        self.hooks.report_validation(figures | {"epoch": float(self.progress.epochs)}, self)

    def _run(self) -> None:
        """Take the steps of this epoch until a validation is due, or the run is asked to stop.

        On a GPU the host reads a step's loss when it has enqueued the next one: the GPU never waits for the host.
        """
        self.model.train()
        tokens, late, behind = self.epochs.tokens(self.progress.epoch), deque[_Taken](), int(self._gradients.on_gpu)
        began = ended = time.perf_counter()
        with closing(self.epochs.steps(self.progress.epoch, self.progress.batch)) as data:
            for shares in data:
                self.sums.waiting += time.perf_counter() - ended
                late.append(self._take(shares, tokens))
                asks = late[-1].due
                while late and (len(late) > behind or asks.pause or self.progress.batch == 0):
                    asked, began = self._finish(late.popleft(), began)
                    asks = asks.together(asked)
                self.hooks.between_steps()
                ended = time.perf_counter()
                self.sums.matmul += sum(self.hooks.matmul_seconds(share) for share in shares)
                # The next step starts by waiting for its data; to measure products belongs to none.
                measured, ended = time.perf_counter() - ended, time.perf_counter()
                began += measured
                if asks.pause:
                    self._pause(asks)
                    if self.stopped or self.progress.validation_due:
                        return
                    began = ended = time.perf_counter()

    def _take(self, shares: list[Share], tokens: Sequence[int]) -> _Taken:
        """Take one step; `tokens` are those of all steps of its epoch."""
        before = self.progress
        done = share_done(self.config, before)
        rate = learning_rate(self.config, before.step + 1, done)
        forced = teacher_forcing_ratio(self.config, before.step + 1, done)
        read = self._step(shares, rate, forced)
        self.progress = before.after_step(len(tokens), int(tokens[before.batch]))
        due = Asks(
            validate=self._validates.ends(before, self.progress) or self._is_over,
            save=self._saves is not None and self._saves.ends(before, self.progress),
        )
        return _Taken(self.progress, due, rate, forced, read)

    def _asks(self) -> Asks:
        """Return what the clock, or somebody outside, asks of this worker."""
        place, saves = self.progress, self._saves
        return Asks(
            validate=self._validates.is_time and self._validates.seconds <= place.seconds - place.validated_at,
            save=saves is not None and saves.is_time and saves.seconds <= place.seconds - place.saved_at,
            end=any(limit.is_time and limit.seconds <= place.seconds for limit in self.config.limits),
            stop=self.hooks.stop_asked(),
            unsaved=place.seconds - place.saved_at > UNSAVED_SECONDS,
        )

    def _pause(self, asks: Asks) -> None:
        """Do between two steps what all workers have been asked for."""
        self._time_is_up |= asks.end
        self.stopped |= asks.stop
        validation_due = asks.validate or asks.end
        self.progress = replace(self.progress, validation_due=validation_due)
        if self.stopped or (asks.unsaved if validation_due else asks.save):
            began = time.perf_counter()
            self.progress = replace(self.progress, saved_at=self.progress.seconds)
            self.hooks.save(self)
            self.sums.saving += time.perf_counter() - began

    @property
    def graphs_used(self) -> str:
        """What part CUDA graphs had, in words."""
        return "not used" if self._graphed is None else self._graphed.describe()

    def _finish(self, taken: _Taken, began: float) -> tuple[Asks, float]:
        """Read and report the loss of a step whose time began at `began`.

        Return what any worker has asked for, and when the time of the next step begins. Raises InputError if the loss
        is not finite.
        """
        loss, place = taken.read(), taken.place
        if math.isfinite(loss.smoothed + loss.norm):
            self.sums.add(loss.smoothed, loss.nll, loss.tokens)
        else:
            self._pass_over(place, f"the loss is {loss.smoothed} and the gradient's norm {loss.norm}")
        stepped = time.perf_counter() - began
        if place.step % self.config.log_every == 0 or place.batch == 0 or taken.due.validate:
            self.hooks.report_step(
                {
                    "step": place.step,
                    "epoch": float(place.epochs),
                    "done": min(1.0, max(float(limit.of(place)) for limit in self.config.limits)),
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
        self.sums.seconds, self.sums.reporting = (
            self.sums.seconds + ended - began,
            self.sums.reporting + ended - began - stepped,
        )
        self.progress = replace(self.progress, seconds=self.progress.seconds + ended - began)
        return loss.asks, ended

    def _pass_over(self, place: Progress, what: str) -> None:
        """Count a step that has changed nothing; raise InputError if there were too many."""
        batch = (place.batch or place.batches) - 1
        pairs = self.epochs.describe(place.epoch - (place.batch == 0), batch)
        if self.progress.skipped >= self.config.skip_bad_batches:
            raise self._diverged(f"at step {place.step} {what}", f" (the step's pairs: {pairs})")
        self.progress = replace(self.progress, skipped=self.progress.skipped + 1)
        self.hooks.warn(
            f"step {place.step} is passed over, the {self.progress.skipped}. of "
            f"training.skip_bad_batches={self.config.skip_bad_batches}: {what}; its pairs: {pairs}"
        )

    def _step(self, shares: list[Share], rate: float, forced: float) -> Reading:
        """Take one optimizer step; return what reads its loss over all workers. Nothing here waits for a GPU."""
        self._number.fill_(self.progress.step)
        self._add_up(shares, forced)
        self._gradients.set_rate(rate)
        self._gradients.ask(self._asks())
        return self._gradients.apply(self.config.clip_norm, call if self._graphed is None else self._graphed.update)

    def _add_up(self, shares: list[Share], forced: float) -> None:
        """Add up the gradients of a step. Should they not fit the memory, shares are halved, from then on."""
        try:
            self._add(shares, forced)
        except (RuntimeError, MemoryError) as error:
            if self._parts > 1 or not is_out_of_memory(error):
                raise
            self._parts, reason = 2, first_sentence(error)
        else:
            return
        # Out of the handler, which keeps the tensors of the failed attempt alive.
        if self._gradients.on_gpu:
            torch.cuda.empty_cache()
        self.hooks.warn(
            f"step {self.progress.step + 1} did not fit the memory of a worker ({reason}): from now on its shares are "
            "computed in halves; set batching.worker_tokens to less than a share to begin so"
        )
        self._add(shares, forced)

    def _add(self, shares: list[Share], forced: float) -> None:
        self._gradients.reset()
        for batch, rows in (part for share in shares for part in share.parts(self._parts)):
            accumulate = partial(self._accumulate, batch, rows, forced)
            if self._graphed is None:
                accumulate()
            elif forced < 1.0:
                self._graphed.call(accumulate)
            else:
                self._graphed.accumulate(self._accumulate, batch, rows)

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

    def _diverged(self, what: str, where: str = "") -> InputError:
        allowed = f"training.skip_bad_batches={self.config.skip_bad_batches}"
        remedy = f", or raise {allowed} to pass over such steps{where}" if where else ""
        return InputError(
            f"training.learning_rate={self.config.learning_rate}: {what}: training has diverged; lower the rate{remedy}"
        )
