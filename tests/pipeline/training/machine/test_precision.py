"""bf16 where a probe finds it: on this machine, on a stand-in that rounds, and on one that does not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.cost import Matmul
from model.loss import summed_cross_entropy
from model.rounding import ROUNDING, Rounding
from pipeline.config import Precision
from pipeline.training.machine.matmul import seconds
from pipeline.training.machine.precision import matmul_precision
from tests.pipeline.copy_task import CopyTask

CPU = torch.device("cpu")


class RoundedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds what is multiplied to bf16, as oneDNN does on a CPU with AMX."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        factors = {"aten.mm": 0, "aten.addmm": 1, "aten.addmm_": 1}.get(str(func).rpartition(".")[0])
        if factors is not None:
            rounded = [factor.bfloat16().to(factor.dtype) for factor in args[factors : factors + 2]]
            args = (*args[:factors], *rounded, *args[factors + 2 :])
        return func(*args, **(kwargs or {}))


def a_machine_that_rounds() -> Callable[[str, str], None]:
    mode: Any = RoundedProducts()  # type: ignore[no-untyped-call]

    def switch(cpu: str, gpu: str) -> None:
        mode.__enter__() if cpu == "bf16" else mode.__exit__(None, None, None)

    return switch


@pytest.fixture(params=["this machine", "rounds", "does not round"])
def rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Put another machine in the place of this one; return whether it rounds, which only a product can say of this."""
    if request.param == "rounds":
        monkeypatch.setattr(Rounding, "_set", staticmethod(a_machine_that_rounds()))
        return True
    if request.param == "does not round":
        monkeypatch.setattr(Rounding, "_set", staticmethod(lambda cpu, gpu: None))
        return False
    return ROUNDING.works_on(CPU)


def test_the_probe_says_what_a_product_does(rounds: bool) -> None:
    torch.manual_seed(1)
    left, right = torch.randn(128, 64), torch.randn(64, 128)
    exact = left @ right

    def product() -> Tensor:
        with ROUNDING:
            return left @ right

    with matmul_precision("bf16", CPU) as in_bf16:
        rounded = product()
        assert torch.equal(left @ right, exact), "only where it is asked for"
    assert in_bf16 == ROUNDING.works_on(CPU) == rounds
    assert torch.equal(rounded, exact) != rounds
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.2)
    assert torch.equal(product(), exact), "nothing is left behind"
    with matmul_precision("fp32", CPU) as in_bf16:
        assert not in_bf16
        assert torch.equal(product(), exact)


def test_where_nothing_is_rounded_nothing_is_computed_for_it(rounds: bool) -> None:
    with matmul_precision("bf16", CPU):
        assert ROUNDING.rows(100) == (128 if rounds else 100)
        assert seconds(Matmul(4, 4, 4), window=0.0) > 0
    assert ROUNDING.rows(100) == 100


def test_the_loss_in_bf16_is_that_in_fp32_but_for_rounding(rounds: bool) -> None:
    torch.manual_seed(2)
    states, projection, bias = torch.randn(3, 30, 16), torch.randn(50, 16), torch.randn(50)
    inputs = [values.requires_grad_() for values in (states, projection, bias)]
    target = torch.randint(0, 50, (3, 30))
    results = []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        with matmul_precision(precision, CPU):
            loss = summed_cross_entropy(states, projection, bias, target, 0, 0.1)
        results.append([loss.smoothed, loss.nll, *torch.autograd.grad(loss.smoothed, inputs)])
    for exact, rounded in zip(*results, strict=True):
        torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02 * float(exact.detach().abs().max()))


def test_a_model_learns_in_bf16_and_an_epoch_says_what_it_was_in(rounds: bool) -> None:
    task = CopyTask()
    figures: list[dict[str, float]] = []
    trainer = task.trainer(precision="bf16", epochs=2)
    trainer.hooks = type(trainer.hooks)(
        trainer.hooks.validate, trainer.hooks.report_step, lambda epoch, _: figures.append(dict(epoch))
    )
    trainer.fit()
    assert [epoch["train_bf16"] for epoch in figures] == [rounds] * 2
    assert figures[1]["train_loss"] < figures[0]["train_loss"]
