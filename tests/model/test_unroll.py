"""The unrolled decoder against the plain loop, its reference: values, gradients, and what it does not cover."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.decoder import DecoderState, InputFeedingDecoder, make_decoder, plain_loop_because
from model.encoder import Encoding
from model.scores import SCORES, is_product
from model.unroll import AttendedSource, LayerStart, unroll
from tests.model.afresh import gradients_are_right
from tests.model.combinations import every_choice, go_together, sizes

SENTENCES, SOURCE, TARGET, UNITS, WORD = 3, 4, 5, 6, 7


def config_of(**options: Any) -> ModelConfig:
    units = {"embedding_size": WORD, "encoder_size": UNITS // 2, "decoder_size": UNITS, "tied_embeddings": "none"}
    return ModelConfig.model_validate(units | options)


def inputs_of(config: ModelConfig, dtype: torch.dtype = torch.float64, *, drops: bool = True) -> list[Tensor]:
    """Return annotations, embeddings, what is fed at the start, the layers' states, then masks between the layers."""
    shapes = [(SENTENCES, SOURCE, UNITS), (SENTENCES, TARGET, WORD), (SENTENCES, UNITS)]
    shapes += [(SENTENCES, UNITS)] * 2 * config.layers
    values = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    masks = [(torch.rand(SENTENCES, 1, UNITS) < 0.7).to(dtype) / 0.7 for _ in range(config.layers - 1) if drops]
    return values + masks


def read(decoder: InputFeedingDecoder, inputs: list[Tensor], *, unrolled: bool) -> Tensor:
    """Return the readouts (B, T, H) of sentences of different lengths."""
    layers = len(decoder.layers.cells)
    (annotations, embedded, fed), states, masks = inputs[:3], inputs[3 : 3 + 2 * layers], inputs[3 + 2 * layers :]
    encoding = Encoding(annotations, (((annotations[:, 0],),),))
    memory = decoder.remember(encoding, torch.tensor([SOURCE, 1, 2]), tuple(masks))
    pairs = tuple(zip(states[::2], states[1::2], strict=True))
    state = DecoderState(pairs, fed, memory.padding_bias_BS[:, :0])
    return decoder.read_out(embedded, state, memory) if unrolled else decoder(embedded, state, memory)[1]


def decoder_of(config: ModelConfig, dtype: torch.dtype = torch.float64) -> InputFeedingDecoder:
    decoder = make_decoder(config).to(dtype)
    assert isinstance(decoder, InputFeedingDecoder)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder


PRODUCTS = [name for name, score in SCORES.items() if is_product(score)]


@pytest.mark.parametrize("attention", PRODUCTS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_plain_loop_with_all_gradients(
    attention: str, layers: int, drops: bool, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(3)
    config = config_of(attention=attention, layers=layers)
    decoder, inputs = decoder_of(config, dtype), inputs_of(config, dtype, drops=drops)
    leaves = [tensor for tensor in (*inputs, *decoder.parameters()) if tensor.requires_grad]
    weights = torch.randn(SENTENCES, TARGET, UNITS, dtype=dtype)
    results = []
    for unrolled in (False, True):
        readouts = read(decoder, inputs, unrolled=unrolled)
        results.append([readouts, *torch.autograd.grad((readouts * weights).sum(), leaves)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("layers", [1, 2])
def test_gradcheck_in_double_precision(scale: float, layers: int) -> None:
    torch.manual_seed(4)
    mask_BS, dropped_B1H = torch.tensor([[0.0, 0.0, 0.0], [0.0, -torch.inf, -torch.inf]]), torch.tensor([0.0, 2.0])

    def run(words: Tensor, from_word: Tensor, keys: Tensor, notes: Tensor, *rest: Tensor) -> Tensor:
        fed, combine, *tensors = rest
        starts = [
            LayerStart((tensors[n], tensors[n + 1]), tensors[n + 2], tensors[n + 3], dropped_B1H.view(1, 1, 2))
            for n in range(0, len(tensors), 4)
        ]
        return unroll(words, from_word, starts, AttendedSource(keys, notes, mask_BS.double(), scale), fed, combine)

    # T = 3, B = 2, E = 2, H = F = 2, S = 3, A = 3.
    shapes = [(3, 2, 2), (8, 2), (2, 3, 2), (2, 3, 3), (2, 2), (2, 5), *[(2, 2), (2, 2), (8, 4), (8,)] * layers]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert gradients_are_right(run, tensors)


def test_a_second_backward_is_refused_and_not_wrong() -> None:
    config = config_of()
    readouts = read(decoder_of(config), inputs_of(config), unrolled=True)
    readouts.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="once"):
        readouts.sum().backward()  # type: ignore[no-untyped-call]


def test_what_is_not_covered_is_read_by_the_plain_loop_and_named() -> None:
    named = set()
    for options in filter(go_together, every_choice()):
        config = ModelConfig.model_validate(options | (sizes(options) or {}))
        because = plain_loop_because(config)
        loops = options["input_feeding"] or options["decoder"] == "bahdanau" or options["coverage"]
        covered = options["cell"] == "lstm" and options["attention"] in PRODUCTS
        covered &= options["decoder"] == "luong" and not options["coverage"] and not options["local_window"]
        assert (because is None) == (covered or not loops), options
        named.add(because)
    assert named == {
        None,
        *("cell=gru", "decoder=bahdanau", "coverage=true", "local_window=2"),
        *(f"attention={score}" for score in SCORES if score not in PRODUCTS),
    }
