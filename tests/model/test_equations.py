"""The network equals the slow, literal transcription of its equations, option by option and all together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.config import ModelConfig
from model.decoder import AttentiveDecoder
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from tests.model.combinations import (
    COMBINATIONS,
    SOURCES,
    TARGETS,
    VOCABULARY,
    every_choice,
    go_together,
    make_batch,
    network,
    sizes,
)
from tests.model.literal import Decoded, Encoded, LiteralNetwork


def same(actual: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11, msg=lambda text: f"{what}: {text}")


@contextmanager
def contexts_of(model: Seq2Seq) -> Iterator[list[Tensor]]:
    """Collect the context vectors (B, T, A) of every call of attention."""
    contexts: list[Tensor] = []
    if isinstance(model.decoder, AttentiveDecoder):
        hook = model.decoder.attention.register_forward_hook(lambda _, inputs, output: contexts.append(output[0]))
        yield contexts
        hook.remove()
    else:
        yield contexts


def compare(model: Seq2Seq, sources: list[list[int]], targets: list[list[int]], extra: int = 1) -> None:
    """Compare all that the batched network makes of padded sentences with the transcription of each."""
    batch = make_batch(sources, targets, extra)
    with torch.no_grad():
        memory, state = model.encode(batch.source_BS, batch.source_lengths_B)
        with contexts_of(model) as contexts:
            _, readouts, weights = model.decoder(model.target_embedding(batch.target_BT[:, :-1]), state, memory)
        logp, loss = model.output(readouts).log_softmax(-1), model(batch)
    # Without attention, the context of all steps is the summary.
    context = torch.cat(contexts or [memory.summary_BA.unsqueeze(1).expand(-1, readouts.shape[1], -1)], dim=1)
    literal, nll = LiteralNetwork(model), torch.zeros((), dtype=torch.float64)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        encoded = literal.encode(source)
        decoded = literal.decode(encoded, [model.tokens.start, *target[:-1]])
        compare_first(encoded, decoded, memory.annotations_BSA[row], memory.summary_BA[row])
        for n, (first, expected) in enumerate(zip(state.layers, decoded.first, strict=True)):
            for part, expected_part in zip(first, expected, strict=True):
                same(part[row], expected_part, f"first state of layer {n}")
        for t, step in enumerate(decoded.steps):
            same(weights[row, t, : len(step.weights)], step.weights, f"weights of step {t}")
            if len(step.context):
                same(context[row, t], step.context, f"context of step {t}")
            same(readouts[row, t], step.readout, f"readout of step {t}")
            same(logp[row, t], step.logp, f"log-probabilities of step {t}")
            nll -= step.logp[target[t]]
    same(loss.nll, nll, "loss")


def compare_first(encoded: Encoded, decoded: Decoded, annotations: Tensor, summary: Tensor) -> None:
    same(summary, encoded.summary, "summary")
    for s, annotation in enumerate(encoded.annotations if len(annotations) else ()):
        same(annotations[s], annotation, f"annotation {s}")


@pytest.mark.parametrize("name", COMBINATIONS)
def test_network_equals_its_equations(name: str) -> None:
    compare(network(COMBINATIONS[name]), SOURCES, TARGETS)


ALLOWED = [options for options in every_choice() if go_together(options)]
words = st.lists(st.integers(4, VOCABULARY - 1), max_size=6).map(lambda row: [*row, SPECIAL_TOKENS.end])


@settings(max_examples=150, deadline=None)
@given(
    options=st.sampled_from(ALLOWED),
    layers=st.integers(1, 3),
    window=st.integers(1, 4),
    pairs=st.lists(st.tuples(words, words), min_size=1, max_size=4),
    extra=st.integers(0, 2),
)
def test_any_network_equals_its_equations_on_any_sentences(
    options: dict[str, Any], layers: int, window: int, pairs: list[tuple[list[int], list[int]]], extra: int
) -> None:
    drawn = {"layers": layers, "local_window": options["local_window"] and window}
    config = ModelConfig.model_validate(options | drawn | (sizes(options) or {}))
    compare(network(config), [source for source, _ in pairs], [target for _, target in pairs], extra)
