"""What a GPU does by itself at the end of a step, done on the CPU: the same as there, and nothing where it diverged."""

import copy
import math

import pytest
import torch

from model.config import ModelConfig
from model.loss import Loss
from model.seq2seq import Seq2Seq
from pipeline.training.gradients import Gradients

RATE = 0.01


def gradients_of(scale: float, model: Seq2Seq, *, on_gpu: bool = True) -> Gradients:
    """Return gradients of a loss over 10 tokens, drawn with a seed."""
    made = Gradients(model, 0.98, on_gpu=on_gpu)
    made.set_rate(RATE)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        gradient = scale * torch.randn(parameter.shape, generator=generator)
        if parameter.grad is None:
            parameter.grad = gradient
        else:  # Where it lies on a GPU, it stays.
            parameter.grad.copy_(gradient)
    made.add_totals(Loss(torch.tensor(70.0), torch.tensor(60.0), torch.tensor(10)))
    return made


@pytest.fixture
def model() -> Seq2Seq:
    torch.manual_seed(2)
    return Seq2Seq(ModelConfig(embedding_size=4, encoder_size=2, decoder_size=4), 9, 9)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_gpu_clips_and_applies_what_a_cpu_does(model: Seq2Seq, scale: float) -> None:
    here, there = copy.deepcopy(model), copy.deepcopy(model)
    loss = gradients_of(scale, here, on_gpu=False).apply(limit=0.5)()
    gradients = gradients_of(scale, there)
    gradients.apply_on_gpu(limit=0.5)
    assert gradients.figures.tolist()[:4] == pytest.approx([loss.smoothed, loss.nll, loss.tokens, loss.norm])
    assert loss.norm > 0.5 or scale < 1
    for mine, theirs, before in zip(here.parameters(), there.parameters(), model.parameters(), strict=True):
        assert not torch.equal(mine, before)
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(model: Seq2Seq, scale: float) -> None:
    before = copy.deepcopy(model)
    for gradients in (gradients_of(1.0, copy.deepcopy(model)), gradients_of(scale, model)):
        gradients.apply_on_gpu(limit=0.5)
    assert not math.isfinite(gradients.figures[3].item())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before.parameters(), strict=True))
    steps = {int(state["step"]) for state in gradients.optimizer.state.values()}
    assert steps == {0}, "it does not count for Adam"
