"""The gradients of a step: summed over all workers, divided by the tokens of all, clipped."""

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


class Gradients:
    """The gradients of a model's parameters, and the sums of their loss.

    No gradient memory is kept between steps: autograd then stores a parameter's first gradient without copying it. On
    several workers, all gradients are concatenated for one sum per step.
    """

    def __init__(self, model: Seq2Seq) -> None:
        self._parameters = list(model.parameters())
        self._totals = self._parameters[0].new_zeros(3)
        # Ray creates a process group for a single worker, too; there is nothing to sum or copy.
        self._several = dist.is_initialized() and dist.get_world_size() > 1
        self._shared: SharedSums | None = None
        if self._several and not self._totals.is_cuda:
            size = sum(parameter.numel() for parameter in self._parameters) + len(self._totals)
            self._shared = SharedSums.share(size)

    def reset(self) -> None:
        """Start a step."""
        self._totals.zero_()
        for parameter in self._parameters:
            parameter.grad = None

    def add_totals(self, loss: Loss) -> None:
        """Add a loss to this worker's sums."""
        self._totals += torch.stack([loss.smoothed.detach(), loss.nll, loss.nll.new_tensor(loss.tokens)])

    def average(self) -> StepLoss:
        """Sum losses and gradients over all workers; return the mean loss. `clip` divides the gradients."""
        if self._several:
            self._sum_over_workers()
        smoothed, nll, tokens = self._totals.tolist()
        return StepLoss(smoothed / tokens, nll / tokens, round(tokens))

    def clip(self, tokens: int, limit: float) -> float:
        """Divide the gradients by `tokens` and scale them to a norm of at most `limit`, in one pass.

        Returns the norm before scaling (Pascanu et al. 2013, algorithm 1).
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) / tokens
        factor = min(1.0, limit / norm) / tokens if norm > 0 else 1.0 / tokens
        for gradient in gradients:
            gradient *= factor
        return norm

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
