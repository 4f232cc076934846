"""The gradients of a step: summed over all workers, divided by the tokens of all, clipped, and applied by Adam.

On a CPU the host looks at the loss and the norm before the optimizer runs. On a GPU it must not wait for them: the GPU
divides, clips and applies by itself, and the host reads both when the next step is on its way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from model.loss import Loss
from model.seq2seq import Seq2Seq
from pipeline.training.shared_sums import SharedSums


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


Reading = Callable[[], StepLoss]
"""Returns the loss of a step; on a GPU, it waits until the step is done."""


class Gradients:
    """The gradients of a model's parameters, the sums of their loss, and the optimizer that applies them.

    No gradient memory is kept between steps: autograd then stores a parameter's first gradient without copying it. On
    several workers, all gradients are concatenated for one sum per step.
    """

    def __init__(self, model: Seq2Seq, beta2: float) -> None:
        """Make Adam, with `beta2`."""
        self._parameters = list(model.parameters())
        self._totals = self._parameters[0].new_zeros(3)
        self.on_gpu = self._totals.is_cuda
        """Whether the host reads a step's loss later than it enqueues the step."""
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

    def reset(self) -> None:
        """Start a step."""
        self._totals.zero_()
        for parameter in self._parameters:
            parameter.grad = None

    def add_totals(self, loss: Loss) -> None:
        """Add a loss to this worker's sums."""
        self._totals += torch.stack([loss.smoothed.detach(), loss.nll, loss.tokens.to(loss.nll.dtype)])

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        group = self.optimizer.param_groups[0]
        if self.on_gpu:
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def apply(self, limit: float) -> Reading:
        """Sum losses and gradients over all workers, and apply the mean gradient, with a norm of at most `limit`."""
        if self._several:
            self._sum_over_workers()
        return send(self.apply_on_gpu(limit)) if self.on_gpu else self._apply_on_cpu(limit)

    def _apply_on_cpu(self, limit: float) -> Reading:
        smoothed, nll, tokens = self._totals.tolist()
        norm = float(torch.nn.utils.get_total_norm(self._gradients())) / tokens
        loss = StepLoss(smoothed / tokens, nll / tokens, round(tokens), norm)
        if math.isfinite(loss.smoothed + norm):
            # The fused optimizer divides where it reads: a pass over all gradients less.
            self.optimizer.grad_scale = self._totals.new_tensor(tokens * max(1.0, norm / limit))  # type: ignore[attr-defined]
            self.optimizer.step()
        return lambda: loss

    def apply_on_gpu(self, limit: float) -> Tensor:
        """Do the same without a wait; return loss, likelihood, tokens and norm, as a tensor (4,) on the GPU.

        The fused optimizer divides the gradients by `grad_scale`, and leaves all as it is where `found_inf` is 1.
        """
        smoothed, nll, tokens = self._totals.unbind()
        norm = torch.nn.utils.get_total_norm(self._gradients()) / tokens
        scale, found_inf = tokens * (norm / limit).clamp(min=1.0), (smoothed + norm).isfinite().logical_not()
        self.optimizer.grad_scale, self.optimizer.found_inf = scale, found_inf.to(scale.dtype)  # type: ignore[attr-defined]
        self.optimizer.step()
        return torch.stack([smoothed / tokens, nll / tokens, tokens, norm])

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

    def _sum_over_workers(self) -> None:
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
        smoothed, nll, tokens, norm = received.tolist()
        return StepLoss(smoothed, nll, round(tokens), norm)

    return read
