import pytest
import torch

from model.loss import summed_cross_entropy
from model.rounding import ROUNDING
from pipeline.config import Precision
from pipeline.training.precision import has_bf16, products_in
from tests.pipeline.copy_task import CopyTask

CPU = torch.device("cpu")


def test_bf16_rounds_products_where_the_cpu_has_it_and_nothing_after(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    left, right = torch.randn(128, 64), torch.randn(64, 128)
    exact = left @ right

    def product() -> torch.Tensor:
        with ROUNDING:
            return left @ right

    with products_in("bf16", CPU) as in_bf16:
        rounded = product()
        assert torch.equal(left @ right, exact)  # Only where it is asked for.
    assert in_bf16 == has_bf16(CPU)
    assert torch.equal(rounded, exact) != in_bf16
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.2)
    assert torch.equal(product(), exact)
    with products_in("fp32", CPU) as in_bf16:
        assert not in_bf16
        assert torch.equal(product(), exact)
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    with products_in("bf16", CPU) as in_bf16:
        assert not in_bf16
        assert torch.equal(product(), exact)


def test_the_loss_in_bf16_is_that_in_fp32_but_for_rounding() -> None:
    torch.manual_seed(2)
    states, projection, bias = torch.randn(3, 30, 16), torch.randn(50, 16), torch.randn(50)
    inputs = [values.requires_grad_() for values in (states, projection, bias)]
    target = torch.randint(0, 50, (3, 30))
    results = []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        with products_in(precision, CPU):
            loss = summed_cross_entropy(states, projection, bias, target, 0, 0.1)
        results.append([loss.smoothed, loss.nll, *torch.autograd.grad(loss.smoothed, inputs)])
    for exact, rounded in zip(*results, strict=True):
        torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02 * float(exact.detach().abs().max()))


def test_a_model_learns_in_bf16_and_an_epoch_says_what_it_was_in() -> None:
    task = CopyTask()
    figures: list[dict[str, float]] = []
    trainer = task.trainer(precision="bf16", epochs=2)
    trainer.hooks = type(trainer.hooks)(
        trainer.hooks.validate, trainer.hooks.report_step, lambda epoch, _: figures.append(dict(epoch))
    )
    trainer.fit()
    assert [epoch["train_bf16"] for epoch in figures] == [has_bf16(CPU)] * 2
    assert figures[1]["train_loss"] < figures[0]["train_loss"]
