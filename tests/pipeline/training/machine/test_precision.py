"""bf16 where a processor has instructions for it: on this machine, on a stand-in that has, and on one that has not."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.cost import Matmul
from model.loss import summed_cross_entropy
from model.rounding import ROUNDING
from model.seq2seq import Seq2Seq
from pipeline.config import Precision
from pipeline.training.machine.matmul import seconds
from pipeline.training.machine.precision import matmul_precision
from tests.pipeline.copy_task import VOCABULARY, CopyTask

CPU = torch.device("cpu")


def pretend(monkeypatch: pytest.MonkeyPatch, taken: bool = True, **processor: Any) -> None:
    """Put another machine in the place of this one. taken: whether oneDNN takes bf16 at all."""
    monkeypatch.setattr("torch.ops.mkldnn._is_mkldnn_bf16_supported", lambda: taken)
    known = {"architecture": "x86_64", "amx_bf16": False, "avx512_bf16": False}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: known | processor)


@pytest.mark.parametrize(
    ("processor", "works"),
    [
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True}, True),
        ({}, False),  # AVX-512 alone.
        ({"architecture": "aarch64"}, True),
        ({"taken": False}, False),
        ({"taken": False, "architecture": "aarch64"}, False),
    ],
)
def test_it_works_where_a_processor_has_instructions(
    processor: dict[str, Any], works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, **processor)
    assert ROUNDING.works_on(CPU) == works


@pytest.fixture(params=["this machine", "has instructions", "has none"])
def rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Put another machine in the place of this one; return whether it rounds, which only this one can say of itself."""
    if request.param != "this machine":
        pretend(monkeypatch, avx512_bf16=request.param == "has instructions")
        assert ROUNDING.works_on(CPU) == (request.param == "has instructions")
    return ROUNDING.works_on(CPU)


def test_products_multiply_bf16_numbers_where_it_works(rounds: bool) -> None:
    torch.manual_seed(1)
    left, right = torch.randn(128, 64), torch.randn(64, 128)
    exact, begun = left @ right, torch.randn(128, 128)
    found: list[Tensor] = []
    with matmul_precision("bf16", CPU) as in_bf16:
        assert in_bf16 == rounds
        assert torch.equal(left @ right, exact), "only what asks for it"
        for factor in (right, ROUNDING.factor(right)):
            out, sums = torch.empty(128, 128), begun.clone()
            ROUNDING.mm(left, factor, out=out)
            ROUNDING.addmm(sums, left, factor)
            found += [out, sums - begun, ROUNDING.product(left, factor)]
    expected = (left.bfloat16().double() @ right.bfloat16().double()).float() if rounds else exact
    for product in found:
        assert product.dtype is torch.float32
        # A CPU rounds the sums too, and here they were added to others.
        torch.testing.assert_close(product, expected, rtol=2**-8 if rounds else 1e-6, atol=1e-5)
    assert torch.equal(ROUNDING.product(left, right), exact), "nothing is left behind"
    with matmul_precision("fp32", CPU) as in_bf16:
        assert not in_bf16
        assert torch.equal(ROUNDING.product(left, right), exact)


def test_where_nothing_is_rounded_nothing_is_computed_for_it(rounds: bool) -> None:
    with matmul_precision("bf16", CPU):
        assert ROUNDING.rows(100) == (128 if rounds else 100)
        assert ROUNDING.factor(torch.ones(2, 2)).dtype is (torch.bfloat16 if rounds else torch.float32)
        assert seconds(Matmul(4, 4, 4), window=0.0) > 0
    assert ROUNDING.rows(100) == 100


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("attention", ["general", "mlp"])
def test_a_steps_gradients_in_bf16_are_those_in_fp32_but_for_rounding(
    cell: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, avx512_bf16=True)
    sizes = {"embedding_size": 32, "encoder_size": 16, "decoder_size": 32, "layers": 2}
    config = ModelConfig.model_validate(sizes | {"cell": cell, "attention": attention})
    batch, results = next(CopyTask().shares(0))[0].batch, []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        torch.manual_seed(3)
        model = Seq2Seq(config, VOCABULARY, VOCABULARY)
        with matmul_precision(precision, CPU):
            model(batch).smoothed.backward()
        results.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(not torch.equal(*pair) for pair in zip(*results, strict=True)), "all have seen rounded numbers"
    exact, rounded = (torch.cat([gradient.flatten() for gradient in gradients]) for gradients in results)
    assert (exact - rounded).norm() < 0.02 * exact.norm()


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
