"""The gradients of a step: summed over all workers, divided by the tokens of all, clipped, and applied by Adam.

On a CPU the host looks at the loss and the norm before the optimizer runs. On a GPU it must not wait for them: the GPU
divides, clips and applies by itself, and the host reads both when the next step is on its way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from model.loss import Loss
from model.seq2seq import Seq2Seq
from pipeline.training.gpu.graphs import Run, call
from pipeline.training.shared_sums import SharedSums


class Asks(NamedTuple):
    """What is to be done after a step. Workers ask for it in the sums of the step, so that all do it or none."""

    validate: bool = False
    save: bool = False
    end: bool = False
    """The time for the training is up."""
    stop: bool = False
    """This run is to end, and another one to continue it."""
    unsaved: bool = False
    """Much has been done since the last checkpoint: before a validation, which may take long, there is to be one."""

    @property
    def pause(self) -> bool:
        """Whether there is anything to do before the next step."""
        return self.validate or self.save or self.end or self.stop

    def together(self, other: "Asks") -> "Asks":
        """Return what either asks for."""
        return Asks(*(one or another for one, another in zip(self, other, strict=True)))


NOTHING = Asks()


@dataclass(frozen=True)
class StepLoss:
    """The loss of one step, over all workers."""

    smoothed: float
    """The loss that is minimised, in nats per target token."""
    nll: float
    """Negative log-likelihood in nats per target token, with dropout; its exp is the training perplexity."""
    tokens: int
    norm: float
    """Of the gradient, before it is clipped (Pascanu et al. 2013, algorithm 1). If it or the loss is not finite, the
    step has changed no weight."""
    asks: Asks = NOTHING
    """What any worker has asked for."""


Reading = Callable[[], StepLoss]
"""Returns the loss of a step; on a GPU, it waits until the step is done."""

ALIGNED = 32
"""Numbers to a multiple of which a GPU's gradients begin."""
SUMS = 3
"""Loss, likelihood and tokens: totals of a step, before what is asked for."""
TOTALS = SUMS + len(NOTHING)


class Gradients:
    """The gradients of a model's parameters, the sums of their loss, and the optimizer that applies them.

    On a CPU no gradient memory is kept between steps: autograd then stores a parameter's first gradient without copying
    it. On several workers, all gradients are concatenated for one sum per step. On a GPU they lie in one tensor that
    stays where it is, as the step's CUDA graph and the sum over all workers need them.
    """

    def __init__(self, model: Seq2Seq, beta2: float, *, on_gpu: bool) -> None:
        """Make Adam, with `beta2`."""
        self._parameters = list(model.parameters())
        self.on_gpu = on_gpu
        """Whether the host reads a step's loss later than it enqueues the step."""
        self._static = self._lay_out() if self.on_gpu else None
        self._totals = self._parameters[0].new_zeros(TOTALS) if self._static is None else self._static[-TOTALS:]
        self.figures = self._totals.new_zeros(1 + TOTALS)
        """Loss, likelihood, tokens and norm of a GPU's step, and how many workers asked for what."""
        self.optimizer = torch.optim.Adam(
            self._parameters, betas=(0.9, beta2), eps=1e-9, fused=True, capturable=self.on_gpu
        )
        if self.on_gpu:  # The rate is a number on the GPU, so that a CUDA graph of the step can read it.
            self.optimizer.param_groups[0]["lr"] = self._totals.new_zeros(())
        # Ray creates a process group for a single worker, too; there is nothing to sum or copy.
        self._several = dist.is_initialized() and dist.get_world_size() > 1
        self._shared: SharedSums | None = None
        if self._several and not self.on_gpu:
            size = sum(parameter.numel() for parameter in self._parameters) + len(self._totals)
            self._shared = SharedSums.share(size)

    def _lay_out(self) -> Tensor:
        """Let all gradients lie in one tensor, which is returned; the totals are at its end."""
        ends = list(accumulate(-(-parameter.numel() // ALIGNED) * ALIGNED for parameter in self._parameters))
        flat = self._parameters[0].new_zeros(ends[-1] + TOTALS)
        for parameter, first in zip(self._parameters, [0, *ends], strict=False):
            parameter.grad = flat[first : first + parameter.numel()].view_as(parameter)
        return flat

    def reset(self) -> None:
        """Start a step."""
        if self._static is not None:
            self._static.zero_()
            return
        self._totals.zero_()
        for parameter in self._parameters:
            parameter.grad = None

    def add_totals(self, loss: Loss) -> None:
        """Add a loss to this worker's sums."""
        self._totals[:SUMS] += torch.stack([loss.smoothed.detach(), loss.nll, loss.tokens.to(loss.nll.dtype)])

    def ask(self, asks: Asks) -> None:
        """Ask for something to be done by all workers after this step."""
        for place, asked in enumerate(asks, SUMS):
            if asked:
                self._totals[place].fill_(1.0)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        group = self.optimizer.param_groups[0]
        if self.on_gpu:
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def apply(self, limit: float, update: Callable[[Run], None] = call) -> Reading:
        """Sum losses and gradients over all workers, and apply the mean gradient, with a norm of at most `limit`.

        update: calls what a GPU does after the sum, or replays it.
        """
        if self._several:
            self._sum_over_workers()
        if not self.on_gpu:
            return self._apply_on_cpu(limit)
        update(lambda: self.apply_on_gpu(limit))
        return send(self.figures)

    def _apply_on_cpu(self, limit: float) -> Reading:
        smoothed, nll, tokens, *asked = self._totals.tolist()
        norm = float(torch.nn.utils.get_total_norm(self._gradients())) / tokens
        loss = StepLoss(smoothed / tokens, nll / tokens, round(tokens), norm, Asks(*map(bool, asked)))
        if math.isfinite(loss.smoothed + norm):
            # The fused optimizer divides where it reads: a pass over all gradients less.
            self.optimizer.grad_scale = self._totals.new_tensor(tokens * max(1.0, norm / limit), dtype=torch.float32)  # type: ignore[attr-defined]
            self.optimizer.step()
        return lambda: loss

    def apply_on_gpu(self, limit: float) -> None:
        """Do the same without a wait, and write `figures`.

        The fused optimizer divides the gradients by `grad_scale`, and leaves all as it is where `found_inf` is 1.
        """
        smoothed, nll, tokens, *asked = self._totals.unbind()
        norm = torch.nn.utils.get_total_norm(self._gradients()) / tokens
        scale, found_inf = tokens * (norm / limit).clamp(min=1.0), (smoothed + norm).isfinite().logical_not()
        self.optimizer.grad_scale, self.optimizer.found_inf = scale.float(), found_inf.float()  # type: ignore[attr-defined]
        self.optimizer.step()
        torch.stack([smoothed / tokens, nll / tokens, tokens, norm, *asked], out=self.figures)

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

    def _sum_over_workers(self) -> None:
        if self._static is not None:
            dist.all_reduce(self._static)
            return
        # A worker without sentences in this step has no gradients; an unused parameter has none on any worker.
        vectors = [*(self._flat(parameter) for parameter in self._parameters), self._totals]
        if self._shared is None:
            flat = torch.cat(vectors)
            dist.all_reduce(flat)
        else:
            flat = self._shared.sum(vectors)
        self._totals.copy_(flat[-len(self._totals) :])
        first = 0
        for parameter in self._parameters:
            parameter.grad = flat[first : first + parameter.numel()].view_as(parameter)
            first += parameter.numel()

    @staticmethod
    def _flat(parameter: Tensor) -> Tensor:
        return torch.zeros_like(parameter).flatten() if parameter.grad is None else parameter.grad.flatten()


def send(figures: Tensor) -> Reading:
    """Copy what `apply_on_gpu` returned to the host, without waiting for it."""
    received = torch.empty(figures.shape, dtype=figures.dtype, device="cpu", pin_memory=True)
    received.copy_(figures, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def read() -> StepLoss:
        arrived.synchronize()
        smoothed, nll, tokens, norm, *asked = received.tolist()
        return StepLoss(smoothed, nll, round(tokens), norm, Asks(*map(bool, asked)))

    return read
