"""The encoder's layers against torch's own on packed sequences, gradients included."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.encoder import reversal_index
from model.recurrent import GruLayer, HoldingLstmLayer, LstmLayer, side_by_side

LENGTHS = torch.tensor([6, 1, 4])
LAYERS = {"lstm": LstmLayer, "holding-lstm": HoldingLstmLayer, "gru": GruLayer}


def test_reversal_turns_each_sentence_round_and_leaves_padding() -> None:
    assert reversal_index(torch.tensor([4, 2, 1]), 4).tolist() == [3, 2, 1, 0, 5, 4, 6, 7, 8, 9, 10, 11]


def read_packed(layer: nn.LSTM | nn.GRU, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the hidden states, zero at padding, and the last states, by the slow path."""
    packed, last = layer(pack_padded_sequence(inputs, LENGTHS, batch_first=True, enforce_sorted=False))
    outputs, _ = pad_packed_sequence(packed, batch_first=True)
    return outputs, [state[0] for state in (last if isinstance(last, tuple) else (last,))]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("step_by_step", [False, True])
def test_a_layer_equals_torchs_on_a_packed_sequence_with_its_gradient(
    kind: str, dtype: torch.dtype, tolerance: float, step_by_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    monkeypatch.setattr("model.recurrent._unrolls", lambda inputs: step_by_step)
    layer = LAYERS[kind](5, 4).to(dtype)
    inputs = (4 * torch.randn(3, 6, 5)).to(dtype).requires_grad_()  # Large: gates are nearly shut or open.
    is_word = (torch.arange(6) < LENGTHS.unsqueeze(1)).unsqueeze(-1)
    weights = torch.randn(2, 3, 1, 4).to(dtype)
    results = []
    assert isinstance(layer, LstmLayer | GruLayer)
    assert isinstance(layer.fused, nn.LSTM | nn.GRU)
    for outputs, last in (layer.read(inputs, LENGTHS), read_packed(layer.fused, inputs)):
        states = list(last)[: 2 if kind == "holding-lstm" else 1]
        loss = (outputs.masked_fill(~is_word, 0.0) * weights[0]).sum()
        loss = loss + sum((state * weights[1, :, 0] ** 2).sum() for state in states)
        results.append([outputs * is_word, *states, *torch.autograd.grad(loss, [inputs, *layer.parameters()])])
    for actual, expected in zip(*results, strict=True):
        assert actual.isfinite().all()
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("from_zero", [True, False])
def test_step_by_step_in_double_precision_equals_the_fused_call_with_its_gradient(kind: str, from_zero: bool) -> None:
    torch.manual_seed(4)
    layer, inputs = LAYERS[kind](5, 4).double(), torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
    assert isinstance(layer, LstmLayer | GruLayer)
    states = torch.randn(2 if kind == "lstm" else 1, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 6, 4, dtype=torch.float64)
    results = []
    for unrolled in (True, False):
        start = torch.zeros_like(states) if from_zero else states
        if unrolled:
            found = layer.unrolled(inputs, tuple(start))
            outputs, last = (found, found[:, -1]) if isinstance(found, Tensor) else (found[0], found[1][:, -1])
        else:
            outputs, after = layer(inputs, tuple(start))  # In double precision there are no kernels.
            last = after[-1]
        loss = (outputs * weights).sum() + (last * weights[:, 0]).sum()
        leaves = [inputs, *layer.parameters(), *(() if from_zero else [states])]
        results.append([outputs, last, *torch.autograd.grad(loss, leaves)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_weights_side_by_side_are_the_same_in_one_piece_of_memory_with_their_gradients() -> None:
    torch.manual_seed(3)
    layer, inputs, zeros = nn.LSTM(5, 4, batch_first=True), torch.randn(3, 6, 5), torch.zeros(1, 3, 4)
    apart: tuple[Tensor, ...] = tuple(layer.parameters())
    together = side_by_side(apart)
    places = [weight.storage_offset() for weight in together]
    assert places == [0, 80, 144, 160], "as cuDNN looks for them: from the beginning, without a gap"
    assert {weight.untyped_storage().data_ptr() for weight in together} == {together[0].untyped_storage().data_ptr()}
    results = [torch.lstm(inputs, (zeros, zeros), each, True, 1, 0.0, True, False, True) for each in (apart, together)]
    torch.testing.assert_close(results[1], results[0])
    gradients = [torch.autograd.grad((outputs**2).sum() + cell.sum(), apart) for outputs, _, cell in results]
    torch.testing.assert_close(gradients[1], gradients[0])
