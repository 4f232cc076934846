"""A training step by CUDA graphs: one graph for each rounded shape, and one for the update of the weights.

Between them the workers' gradients are summed, by a call that is in no graph: recording NCCL's calls needs a recent
NCCL, as many calls before as torch's own wrapper makes, and the same shapes on all workers at the same step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from model.seq2seq import Batch
from pipeline.training.gpu.graphs import GraphApi, Graphs
from pipeline.training.gpu.shapes import RoundedShape, StaticBatch

Accumulate = Callable[[Batch, Tensor], None]
"""Adds the gradients of a batch, and its losses, to tensors that stay where they are. Takes the places int64 (B,) of
its sentences in the global batch as well."""


class GraphedStep:
    """The two functions of a step, each replayed where it has been recorded."""

    def __init__(self, accumulate: Accumulate, update: Callable[[], None], device: torch.device, api: GraphApi) -> None:
        """Take the functions; `update` changes the weights by what `accumulate` has added."""
        self._accumulate, self._update, self._device = accumulate, update, device
        self._graphs = Graphs(api)
        self._static: dict[RoundedShape, StaticBatch] = {}

    def accumulate(self, batch: Batch, rows_B: Tensor) -> None:
        """Add the gradients of a batch, padded to its rounded shape."""
        shape = RoundedShape.of(batch)
        if shape not in self._static:
            self._static[shape] = StaticBatch(shape, self._device)
        static = self._static[shape]
        static.fill(batch, rows_B)
        self._graphs.run(shape, lambda: self._accumulate(static.batch, static.rows_B))

    def update(self) -> None:
        """Change the weights."""
        self._graphs.run("update", self._update)
