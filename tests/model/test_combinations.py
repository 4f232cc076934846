"""Properties that hold of every combination of options."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from model.config import ModelConfig
from model.forcing import TeacherForcing
from model.search.beam import beam_search
from model.search.config import SearchConfig
from model.search.hypotheses import SearchRequest
from model.search.search import search
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq
from tests.model.combinations import (
    COMBINATIONS,
    SOURCES,
    TARGETS,
    every_choice,
    go_together,
    make_batch,
    network,
    sizes,
)


@pytest.fixture(scope="module", params=COMBINATIONS)
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    return network(COMBINATIONS[request.param])


def forcing(ratio: float) -> TeacherForcing:
    return TeacherForcing(ratio, "step", seed=3, step=1, rows=torch.arange(len(SOURCES)))


def likelihood(model: Seq2Seq, batch: Batch, free: bool) -> tuple[Tensor, Tensor]:
    """Return the log-likelihood (B,) of the references, one step at a time, and the attention weights (B, T, S).

    free: feed the likeliest word of each step to the next, where else it is the reference's.
    """
    memory, state = model.encode(batch.source_BS, batch.source_lengths_B)
    total, attention = torch.zeros(len(batch.target_BT), dtype=torch.float64), []
    token = batch.target_BT[:, 0]
    for following in batch.target_BT[:, 1:].unbind(1):
        logp, state, weights = model.step(token, state, memory)
        total += logp.gather(1, following.unsqueeze(1)).squeeze(1) * (following != SPECIAL_TOKENS.padding)
        token = logp.argmax(dim=1) if free else following
        attention.append(weights)
    return total, torch.stack(attention, dim=1)


@torch.no_grad()
def test_padding_gets_no_weight_and_changes_nothing(model: Seq2Seq) -> None:
    tight, wide = make_batch(), make_batch(extra=3)
    torch.testing.assert_close(model(tight).nll, model(wide).nll)
    _, weights = likelihood(model, wide, free=False)
    for row, source in zip(weights, SOURCES, strict=True):
        assert not row[:, len(source) :].any()
        if model.config.attention != "none":
            total = row[: len(TARGETS[0])].sum(-1)
            assert (total > 0).all()
            if model.config.local_window is None:
                torch.testing.assert_close(total, torch.ones_like(total))


@torch.no_grad()
def test_batched_equals_single_and_stepping_through_a_reference_gives_the_training_loss(model: Seq2Seq) -> None:
    together, _ = likelihood(model, make_batch(), free=False)
    alone = [model(make_batch([source], [target])).nll for source, target in zip(SOURCES, TARGETS, strict=True)]
    torch.testing.assert_close(-together, torch.stack(alone))
    torch.testing.assert_close(-together.sum(), model(make_batch()).nll)


@torch.no_grad()
def test_sampling_feeds_the_reference_at_ratio_one_and_its_own_words_at_zero(model: Seq2Seq) -> None:
    batch = make_batch()
    torch.testing.assert_close(model(batch, forcing=forcing(1.0)).smoothed, model(batch).smoothed)
    free, _ = likelihood(model, batch, free=True)
    torch.testing.assert_close(model(batch, forcing=forcing(0.0)).nll, -free.sum())


LIMIT = SearchConfig(beam=1, limit_ratio=0.0, limit_extra=5)


@torch.no_grad()
def test_a_beam_of_one_is_greedy(model: Seq2Seq) -> None:
    """Greedy search takes the likeliest word that may follow; so does a beam that holds one."""
    batch = make_batch(extra=1)
    greedy = search(model, batch.source_BS, batch.source_lengths_B, LIMIT)
    memory, state = model.encode(batch.source_BS, batch.source_lengths_B)
    request = SearchRequest(model, LIMIT, batch.source_lengths_B, torch.full((len(SOURCES),), 5), attention=False)
    beam = beam_search(request, memory, state)
    expected = greedy_words(model, batch, 5)
    assert [found[0].tokens for found in greedy] == [found[0].tokens for found in beam] == expected
    assert [found[0].score for found in greedy] == pytest.approx([found[0].score for found in beam])


@torch.no_grad()
def test_rows_that_are_taken_go_on_as_they_would_have(model: Seq2Seq) -> None:
    """All that a hypothesis has, its coverage too, moves with it when a beam is reordered."""
    batch, rows = make_batch(), torch.tensor([2, 0, 0, 1])
    memory, state = model.encode(batch.source_BS, batch.source_lengths_B)
    for place in range(2):
        _, state, _ = model.step(batch.target_BT[:, place], state, memory)
    taken, taken_state = memory.select(rows), state.select(rows)
    for place in (2, 3):
        logp, state, weights = model.step(batch.target_BT[:, place], state, memory)
        taken_logp, taken_state, taken_weights = model.step(batch.target_BT[rows, place], taken_state, taken)
        torch.testing.assert_close(taken_logp, logp[rows])
        torch.testing.assert_close(taken_weights, weights[rows])


def greedy_words(model: Seq2Seq, batch: Batch, limit: int) -> list[list[int]]:
    """Return up to `limit` words of each sentence, each the likeliest after those before it."""
    memory, state = model.encode(batch.source_BS, batch.source_lengths_B)
    tokens = [batch.target_BT[:, 0]]
    for _ in range(limit):
        logp, state, _ = model.step(tokens[-1], state, memory)
        logp[:, [SPECIAL_TOKENS.padding, SPECIAL_TOKENS.start]] = -torch.inf
        tokens.append(logp.argmax(dim=1))
    rows = torch.stack(tokens[1:], dim=1).tolist()
    return [row[: row.index(SPECIAL_TOKENS.end)] if SPECIAL_TOKENS.end in row else row for row in rows]


def test_gradient_in_double_precision_and_every_weight_has_one(model: Seq2Seq) -> None:
    model, batch, size = copy.deepcopy(model), make_batch(), 1e-6
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(model(batch, label_smoothing=0.1).smoothed, parameters)
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient.any(), f"{name} changes nothing"
    torch.manual_seed(5)
    directions = [torch.randn_like(gradient) for gradient in gradients]
    losses = []
    with torch.no_grad():
        for factor in (size, -2 * size):  # From the weights to one side, then to the other.
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += factor * direction
            losses.append(model(batch, label_smoothing=0.1).smoothed)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    torch.testing.assert_close((losses[0] - losses[1]) / (2 * size), slope, rtol=1e-5, atol=1e-6)


def refused(options: dict[str, Any]) -> bool:
    try:
        ModelConfig.model_validate(options)
    except ValidationError:
        return True
    return False


def some_sizes() -> Iterator[dict[str, int]]:
    for encoder, decoder in ((2, 2), (2, 4), (4, 4), (1, 3)):
        yield {"embedding_size": decoder, "encoder_size": encoder, "decoder_size": decoder}


def test_the_configuration_refuses_exactly_what_does_not_go_together() -> None:
    for options in every_choice():
        fitting = sizes(options)
        if fitting is None:
            assert all(refused(options | tried) for tried in some_sizes()), options
        else:
            assert refused(options | fitting) != go_together(options), options
