"""Steps that are replayed against steps that are called, on a CPU: a tape stands in for CUDA's graphs."""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest
import torch

from model import seq2seq
from model.config import ModelConfig
from model.seq2seq import Batch, Seq2Seq
from pipeline.config import TrainingConfig
from pipeline.training import gradients
from pipeline.training.gpu.graphs import Graphs, Run
from pipeline.training.gpu.step import GraphedStep
from pipeline.training.gradients import Reading, StepLoss
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.trainer import Trainer
from tests.fake_cuda import GPU, fake_cuda
from tests.model.combinations import COMBINATIONS, VOCABULARY, make_batch
from tests.pipeline.training.gpu.tape import TapeGraphs, on_gpu
from tests.pipeline.training.test_gpu_step import make_trainer
from tests.pipeline.training.test_gpu_step import steps as fake_steps

BATCHES = [
    make_batch(),
    make_batch(
        [[5, 8, 6, 7, 8, 3], [3], [7, 4, 3], [6, 3]], [[6, 3], [7, 5, 3], [3], [4, 3]]
    ),  # The same shape, rounded.
    make_batch([[5] * 8 + [3]], [[6] * 5 + [3]]),
]
OPTIONS = ["lstm-2-bi-projection-general-feeding", "gru-2-bi-projection-concat-bahdanau", "lstm-1-bi-mean-none-luong"]


@pytest.fixture
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute the loss as a GPU does, and read it where no CUDA event says when it has come."""

    def send(figures: torch.Tensor) -> Reading:
        smoothed, nll, tokens, norm, *_ = figures.tolist()
        return lambda: StepLoss(smoothed, nll, round(tokens), norm)

    monkeypatch.setattr("model.philox.kernels_for", lambda tensor: None)  # A tape does not see what a kernel does.
    monkeypatch.setattr(gradients, "send", send)
    monkeypatch.setattr(seq2seq, "summed_cross_entropy", on_gpu)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(
    config: ModelConfig, api: TapeGraphs | None, steps: int = 9, **training: Any
) -> tuple[Trainer, list[StepLoss]]:
    """Take steps of two shares in turn from the batches, and a rate that changes at each."""
    torch.manual_seed(3)
    model = Seq2Seq(config, VOCABULARY, VOCABULARY).double()
    hooks = Hooks(lambda model: {}, lambda figures: None, lambda figures, trainer: None)
    epochs = Epochs(lambda epoch, first: iter(()), lambda epoch: [1])  # type: ignore[arg-type,return-value]
    trainer = Trainer(model, TrainingConfig(**training), 0.3, epochs, hooks, graphs=api)
    losses = []
    for step in range(steps):
        shares = [share(BATCHES[(step + n) % 3]) for n in (0, 1)]
        losses.append(trainer._step(shares, 0.01 * (step + 1), 1.0)())
        trainer.progress = trainer.progress.after_step(steps + 1, 1)
    return trainer, losses


def share(batch: Batch) -> Share:
    return Share(batch, torch.arange(len(batch.source_BS)) * 3, 0)


@pytest.mark.usefixtures("_on_cpu")
@pytest.mark.parametrize("name", OPTIONS)
def test_steps_by_graphs_are_those_that_are_called(name: str) -> None:
    """Losses and weights, with dropout, on batches that are padded; each step has another rate and other masks."""
    config, api = COMBINATIONS[name], TapeGraphs()
    called, expected = train(config, None)
    graphed, losses = train(config, api)
    assert api.replayed > 9
    for loss, other in zip(losses, expected, strict=True):
        assert astuple(loss)[:4] == pytest.approx(astuple(other)[:4], rel=1e-9)
    torch.testing.assert_close([*graphed.model.parameters()], [*called.model.parameters()], rtol=1e-7, atol=1e-9)
    assert "2 of 2 shapes recorded" in graphed.graphs_used


@pytest.mark.usefixtures("_on_cpu")
def test_teacher_forcing_below_one_is_called() -> None:
    api = TapeGraphs()
    trainer, _ = train(COMBINATIONS[OPTIONS[0]], api, steps=0)
    for _ in range(Graphs.CALLS + 2):
        trainer._step([share(BATCHES[0])], 0.01, 0.5)
    assert trainer.graphs_used.startswith("0 of 0 shapes")
    assert api.recorded == 1  # The update.


@pytest.mark.usefixtures("_on_cpu")
def test_a_step_without_a_number_for_its_loss_changes_no_weight() -> None:
    """Called or replayed: the host learns of it only when the next step is on its way."""
    trainer, _ = train(COMBINATIONS[OPTIONS[0]], TapeGraphs())
    parameter = trainer.model.output.bias
    with torch.no_grad():
        parameter[5] = torch.nan
    before = [each.detach().clone() for each in trainer.model.parameters()]
    loss = trainer._step([share(BATCHES[0])], 0.01, 1.0)()
    assert loss.smoothed != loss.smoothed
    torch.testing.assert_close(list(trainer.model.parameters()), before, equal_nan=True)


class Calls:
    """Records nothing: a replay is a call."""

    def call(self, run: Run) -> None:
        run()

    def record(self, run: Run) -> Run:
        return run


def test_the_host_waits_nowhere_in_a_step_by_graphs() -> None:
    """On fake CUDA tensors, from the share to the copy of the loss: nothing that a recording would refuse."""
    with fake_cuda() as watch:
        trainer = make_trainer(COMBINATIONS[OPTIONS[0]])
        trainer._graphed = GraphedStep(Calls(), GPU)
        for words in (2, 3, 2, 4):
            trainer._step(next(fake_steps(words)), 0.1, 1.0)
        assert [str(wait) for wait in watch.waits] == []
    assert "recorded" in trainer.graphs_used
