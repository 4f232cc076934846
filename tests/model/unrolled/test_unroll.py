"""The unrolled decoders against the plain loop, their reference: values, gradients, and what they do not cover."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.decoder import AttentiveDecoder, DecoderState, make_decoder, plain_loop_because
from model.encoder import Encoding
from model.kernels import load
from model.scores import SCORES
from tests.model.afresh import gradients_are_right
from tests.model.combinations import every_choice, go_together, sizes

SENTENCES, SOURCE, TARGET, UNITS, WORD = 3, 4, 5, 6, 7
ORDERS: dict[str, dict[str, Any]] = {
    "luong": {"input_feeding": True},
    "bahdanau": {"decoder": "bahdanau", "input_feeding": False},
}


def config_of(order: str = "luong", **options: Any) -> ModelConfig:
    units = {"embedding_size": WORD, "encoder_size": UNITS // 2, "decoder_size": UNITS, "tied_embeddings": "none"}
    return ModelConfig.model_validate(units | ORDERS[order] | options)


def inputs_of(config: ModelConfig, dtype: torch.dtype = torch.float64, *, drops: bool = True) -> list[Tensor]:
    """Return annotations, embeddings, what is fed at the start, the layers' states, then masks between the layers."""
    shapes = [(SENTENCES, SOURCE, UNITS), (SENTENCES, TARGET, WORD), (SENTENCES, UNITS)]
    shapes += [(SENTENCES, UNITS)] * states_of(config) * config.layers
    values = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    masks = [(torch.rand(SENTENCES, 1, UNITS) < 0.7).to(dtype) / 0.7 for _ in range(config.layers - 1) if drops]
    return values + masks


def states_of(config: ModelConfig) -> int:
    return 2 if config.cell == "lstm" else 1


def read(decoder: AttentiveDecoder, config: ModelConfig, inputs: list[Tensor], *, unrolled: bool) -> Tensor:
    """Return the readouts (B, T, H) of sentences of different lengths."""
    count = states_of(config) * config.layers
    (annotations, embedded, fed), states, masks = inputs[:3], inputs[3 : 3 + count], inputs[3 + count :]
    encoding = Encoding(annotations, (((annotations[:, 0],),),))
    memory = decoder.remember(encoding, torch.tensor([SOURCE, 1, 2]), tuple(masks))
    layers = tuple(tuple(states[n : n + states_of(config)]) for n in range(0, count, states_of(config)))
    fed = fed if config.input_feeding else fed[:, :0]
    state = DecoderState(layers, fed, memory.padding_bias_BS[:, :0])
    return decoder.read_out(embedded, state, memory) if unrolled else decoder(embedded, state, memory)[1]


def decoder_of(config: ModelConfig, dtype: torch.dtype = torch.float64) -> AttentiveDecoder:
    decoder = make_decoder(config).to(dtype)
    assert isinstance(decoder, AttentiveDecoder)
    assert decoder.unrolls
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder


def results_of(config: ModelConfig, dtype: torch.dtype, *, drops: bool, unrolled: bool) -> list[Tensor]:
    """Return the readouts, and the gradients of all inputs and weights."""
    torch.manual_seed(3)
    decoder, inputs = decoder_of(config, dtype), inputs_of(config, dtype, drops=drops)
    leaves = [tensor for tensor in (*inputs, *decoder.parameters()) if tensor.requires_grad]
    weights = torch.randn(SENTENCES, TARGET, UNITS, dtype=dtype)
    readouts = read(decoder, config, inputs, unrolled=unrolled)
    found = torch.autograd.grad((readouts * weights).sum(), leaves, allow_unused=True)
    return [readouts, *(gradient for gradient in found if gradient is not None)]


CASES = [
    (order, {"attention": attention, "cell": cell, "layers": layers})
    for order in ORDERS
    for attention in SCORES
    for cell in ("lstm", "gru")
    for layers in (1, 3)
]


@pytest.mark.parametrize(("order", "options"), CASES)
@pytest.mark.parametrize("drops", [False, True])
def test_in_double_precision_equals_the_plain_loop_with_all_gradients(
    order: str, options: dict[str, Any], drops: bool
) -> None:
    config = config_of(order, **options)
    expected, actual = (results_of(config, torch.float64, drops=drops, unrolled=unrolled) for unrolled in (False, True))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("order", "options"), CASES)
def test_kernels_equal_the_plain_loop_to_rounding(
    order: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(order, **options)
    assert load.kernels_for(torch.ones(1)), "without numba, this test would compare torch with itself"
    expected = results_of(config, torch.float32, drops=True, unrolled=False)
    torch.testing.assert_close(
        results_of(config, torch.float32, drops=True, unrolled=True), expected, rtol=1e-5, atol=1e-5
    )
    for module in ("cells", "attention", "unroll"):  # As where numba is missing.
        monkeypatch.setattr(f"model.unrolled.{module}.kernels_for", lambda tensor: None)
    torch.testing.assert_close(
        results_of(config, torch.float32, drops=True, unrolled=True), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("attention", ["scaled-dot", "general", "concat", "mlp"])
def test_gradcheck_in_double_precision(order: str, cell: str, attention: str) -> None:
    torch.manual_seed(4)
    config = config_of(
        order, cell=cell, attention=attention, layers=2, embedding_size=2, encoder_size=1, decoder_size=2
    )
    decoder = decoder_of(config)
    shapes = [(2, 3, 2), (2, 2, 2), (2, 2), *[(2, 2)] * states_of(config) * 2]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    mask = torch.tensor([[[0.0, 2.0]], [[2.0, 2.0]]], dtype=torch.float64)
    names = [name for name, _ in decoder.named_parameters()]

    def run(*tensors: Tensor) -> Tensor:
        weights = dict(zip(names, tensors[len(inputs) :], strict=True))
        count = states_of(config) * 2
        notes, embedded, fed = tensors[:3]
        layers = tuple(tuple(tensors[n : n + states_of(config)]) for n in range(3, 3 + count, states_of(config)))

        def call(decoder: AttentiveDecoder) -> Tensor:
            memory = decoder.remember(Encoding(notes, (((notes[:, 0],),),)), torch.tensor([3, 1]), (mask,))
            fed_BF = fed if config.input_feeding else fed[:, :0]
            return decoder.read_out(embedded, DecoderState(layers, fed_BF, memory.padding_bias_BS[:, :0]), memory)

        named = {f"decoder.{name}": weight for name, weight in weights.items()}
        readouts: Tensor = torch.func.functional_call(Called(decoder, call), named, ())
        return readouts + 0 * fed.sum()

    assert gradients_are_right(
        run, [*inputs, *(parameter.detach().requires_grad_() for parameter in decoder.parameters())]
    )


class Called(torch.nn.Module):
    """A function of a decoder as a module, for `functional_call`."""

    def __init__(self, decoder: AttentiveDecoder, function: Any) -> None:
        super().__init__()
        self.decoder, self.function = decoder, function

    def forward(self) -> Tensor:
        result: Tensor = self.function(self.decoder)
        return result


@pytest.mark.parametrize("order", ORDERS)
def test_a_second_backward_is_refused_and_not_wrong(order: str) -> None:
    config = config_of(order)
    readouts = read(decoder_of(config), config, inputs_of(config), unrolled=True)
    readouts.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="once"):
        readouts.sum().backward()  # type: ignore[no-untyped-call]


def test_what_is_not_covered_is_read_by_the_plain_loop_and_named() -> None:
    named = set()
    for options in filter(go_together, every_choice()):
        config = ModelConfig.model_validate(options | (sizes(options) or {}))
        because = plain_loop_because(config)
        loops = options["input_feeding"] or options["decoder"] == "bahdanau" or options["coverage"]
        covered = not options["coverage"] and not options["local_window"]
        assert (because is None) == (covered or not loops), options
        named.add(because)
    assert named == {None, "coverage=true", "local_window=2"}
