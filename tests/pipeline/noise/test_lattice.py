"""Subword sampling: the exact probabilities of the papers' equations, on a vocabulary of a few pieces."""

import io
import math
from collections import Counter, defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
import sentencepiece

from pipeline.batches.collate import Ragged
from pipeline.corpus.captions import generate_pairs
from pipeline.errors import InputError
from pipeline.inference.model_files import adopt_model
from pipeline.inference.pieces import Pieces
from pipeline.inference.sentencepiece_internals import model_message
from pipeline.inference.subwords import learn_pieces
from pipeline.noise.draws import pair_keys
from pipeline.noise.sampling import SubwordSampler

PROTO = model_message()
END, UNKNOWN = 3, 1
SPECIAL = [("<pad>", 3), ("<unk>", 2), ("<s>", 3), ("</s>", 3)]
SCORES = {"\u2581": -2.0, "a": -1.5, "b": -1.7, "\u2581a": -1.0, "ab": -0.9, "\u2581ab": -2.4, "aba": -1.2, "<x>": 0.0}
MERGES = {"ab": -1.0, "\u2581a": -2.0, "aba": -3.0, "\u2581ab": -4.0, "\u2581": -9.0, "a": -9.0, "b": -9.0}
DRAWS = 40_000


def pieces_of(scores: dict[str, float], kind: int) -> Pieces:
    """Return a model with these pieces."""
    kinds = dict(SPECIAL) | dict.fromkeys(scores, 1) | {"<x>": 4}
    names = [*(name for name, _ in SPECIAL), *scores]
    model = PROTO(pieces=[PROTO.SentencePiece(piece=n, score=scores.get(n, 0.0), type=kinds[n]) for n in names])
    model.trainer_spec.model_type = kind
    return Pieces(sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString()))


def segmentations(word: str, pieces: dict[str, float]) -> list[tuple[str, ...]]:
    """Return all ways to cut a word into pieces."""
    found = []
    for cuts in product((False, True), repeat=len(word) - 1):
        bounds = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), len(word)]
        parts = tuple(word[begin:end] for begin, end in pairwise(bounds))
        found += [parts] if all(part in pieces for part in parts) else []
    return found


def by_dropout(parts: tuple[str, ...], dropout: float, probability: float = 1.0) -> dict[tuple[str, ...], float]:
    """Return the probability of every segmentation by algorithm 1 of Provilkov et al., whatever merges are left out."""
    possible = [place for place in range(len(parts) - 1) if parts[place] + parts[place + 1] in MERGES]
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for left_out in product((False, True), repeat=len(possible)):
        chance = probability * math.prod(dropout if out else 1 - dropout for out in left_out)
        left = [place for place, out in zip(possible, left_out, strict=True) if not out]
        if not left:
            found[parts] += chance
            continue
        best = max(left, key=lambda place: (MERGES[parts[place] + parts[place + 1]], -place))
        merged = (*parts[:best], parts[best] + parts[best + 1], *parts[best + 2 :])
        for way, way_chance in by_dropout(merged, dropout, chance).items():
            found[way] += way_chance
    return found


def frequencies(sampler: SubwordSampler, pieces: Pieces, word: str) -> Counter[tuple[str, ...]]:
    """Return how often each segmentation of a word is drawn."""
    row = [*(pieces.texts.index(character) for character in word), END]
    rows = Ragged.of_rows([row] * DRAWS)
    drawn = sampler.sample(rows, pair_keys(7, 0, np.arange(DRAWS)))
    texts = (tuple(pieces.texts[token] for token in drawn.row(number)[:-1].tolist()) for number in range(DRAWS))
    return Counter(texts)


def assert_close(found: Counter[tuple[str, ...]], expected: dict[tuple[str, ...], float]) -> None:
    """Assert that counts are those of the probabilities, as far as chance allows: five standard deviations."""
    assert sum(expected.values()) == pytest.approx(1.0)
    assert set(found) <= set(expected)
    for parts, probability in expected.items():
        deviation = math.sqrt(DRAWS * probability * (1 - probability))
        assert abs(found[parts] - DRAWS * probability) <= 5 * deviation + 1e-6, parts


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
def test_unigram_segmentations_have_the_probabilities_of_kudo(alpha: float) -> None:
    pieces = pieces_of(SCORES, 1)
    ways = segmentations("\u2581abab", {**SCORES})
    weights = {parts: math.exp(alpha * sum(SCORES[part] for part in parts)) for parts in ways}
    expected = {parts: weight / sum(weights.values()) for parts, weight in weights.items()}
    assert len(expected) > 8
    assert_close(frequencies(SubwordSampler(pieces, alpha, 0.0), pieces, "\u2581abab"), expected)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 1.0])
def test_bpe_segmentations_have_the_probabilities_of_provilkov(dropout: float) -> None:
    pieces = pieces_of(MERGES, 2)
    expected = {parts: p for parts, p in by_dropout(tuple("\u2581abab"), dropout).items() if p}
    assert (len(expected) == 1) == (dropout in (0.0, 1.0))
    assert_close(frequencies(SubwordSampler(pieces, 0.0, dropout), pieces, "\u2581abab"), expected)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_real_models_rows_keep_their_texts_and_what_is_no_text(kind: str) -> None:
    """Unknown tokens, bytes and user symbols stay; without dropout, BPE gives the rows of SentencePiece."""
    lines = [f"{german} <b>" for german, _ in generate_pairs(200, 1)]
    model = learn_pieces(lines, 300, kind, False, 1.0, user_symbols=["<b>"])  # type: ignore[arg-type]
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = Pieces(processor)
    texts = [*lines, "Ω ein<b> kΩl", "", "<b>", "leihen neun"]
    rows = Ragged.of_rows([pieces.encode(text) for text in texts])
    keys = pair_keys(1, 0, np.arange(len(texts)))
    drawn = SubwordSampler(pieces, 0.1, 0.3).sample(rows, keys)
    assert drawn.values.size > rows.values.size * 1.1
    for number in range(len(texts)):
        before, after = rows.row(number)[:-1].tolist(), drawn.row(number)[:-1].tolist()
        assert drawn.row(number)[-1] == END
        assert pieces.decode(after) == pieces.decode(before)
        symbols = {UNKNOWN, pieces.texts.index("<b>")}
        assert [t for t in after if t in symbols] == [t for t in before if t in symbols]
    if kind == "bpe":
        assert SubwordSampler(pieces, 0.1, 0.0).sample(rows, keys).values.tolist() == rows.values.tolist()


def test_what_a_row_becomes_depends_on_its_key_alone() -> None:
    """Not on the rows beside it, nor on what was drawn before, nor on a table that was emptied."""
    pieces = pieces_of(SCORES, 1)
    generator = np.random.default_rng(1)
    rows = Ragged.of_rows([[*generator.integers(4, 12, generator.integers(0, 9)).tolist(), END] for _ in range(300)])
    keys = pair_keys(1, 0, np.arange(300))
    sampler = SubwordSampler(pieces, 0.3, 0.1)
    together = sampler.sample(rows, keys)
    sampler._forget()
    backwards = np.arange(300)[::-1]
    again = sampler.sample(rows.take(backwards), keys[::-1]).take(backwards)
    assert (again.values.tolist(), again.offsets.tolist()) == (together.values.tolist(), together.offsets.tolist())


def test_a_model_with_one_way_to_cut_a_sentence_is_refused() -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ab ba"] * 9), model_writer=model, model_type="char", vocab_size=7, minloglevel=2
    )
    content = adopt_model(model.getvalue(), "tokenizer.model=m")
    pieces = Pieces(sentencepiece.SentencePieceProcessor(model_proto=content))
    with pytest.raises(InputError, match=r"noise\.subword_sampling: .* kind char"):
        SubwordSampler(pieces, 0.1, 0.1)
