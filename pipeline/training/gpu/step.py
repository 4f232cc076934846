"""A training step by CUDA graphs: one graph for each rounded shape, and one for the update of the weights.

Between them the workers' gradients are summed, by a call that is in no graph: recording NCCL's calls needs a recent
NCCL, as many calls before as torch's own wrapper makes, and the same shapes on all workers at the same step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from model.seq2seq import Batch
from pipeline.training.gpu.graphs import GraphApi, Graphs, Run
from pipeline.training.gpu.shapes import RoundedShape, StaticBatch

Accumulate = Callable[[Batch, Tensor], None]
"""Adds the gradients of a batch, and its losses, to tensors that stay where they are. Takes the places int64 (B,) of
its sentences in the global batch as well."""


class GraphedStep:
    """The functions of a step, each replayed where it has been recorded."""

    def __init__(self, api: GraphApi, device: torch.device) -> None:
        self._device = device
        self._shapes, self._updates = Graphs(api), Graphs(api)
        self._static: dict[RoundedShape, StaticBatch] = {}

    def accumulate(self, run: Accumulate, batch: Batch, rows_B: Tensor) -> None:
        """Add the gradients of a batch, padded to its rounded shape; `run` must be the same for all batches."""
        shape = RoundedShape.of(batch)
        if shape not in self._static:
            self._static[shape] = StaticBatch(shape, self._device)
        static = self._static[shape]
        static.fill(batch, rows_B)
        self._shapes.run(shape, lambda: run(static.batch, static.rows_B))

    def call(self, run: Run) -> None:
        """Call what no graph can do, since it depends on more than the batch."""
        self._shapes.call(run)

    def update(self, run: Run) -> None:
        """Change the weights by what has been added; `run` must be the same at every step."""
        self._updates.run("update", run)

    @property
    def share(self) -> float:
        """The share of batches that were replayed."""
        return self._shapes.replayed / max(1, self._shapes.replayed + self._shapes.called)

    def describe(self) -> str:
        """Say what was replayed, or why nothing more is recorded."""
        refused = self._shapes.refused or self._updates.refused
        count = f"{len(self._shapes)} of {len(self._static)} shapes recorded, {self.share:.0%} of batches replayed"
        return f"{count}; recording was refused: {refused}" if refused else count
