"""What the pairs of a batch become in an epoch, and how long that makes them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Indices, Lengths
from pipeline.inference.pieces import Pieces
from pipeline.inference.subwords import Subwords
from pipeline.noise.draws import Keys, Stream, numbers, pair_keys, stream, uniform
from pipeline.noise.estimates import Estimates
from pipeline.noise.sampling import SubwordSampler
from pipeline.noise.texts import symbols_pattern, title_case, upper_case, with_typos, without_final_punctuation
from pipeline.noise_config import NoiseConfig

CASE, TYPOS, PUNCTUATION, JOINED, WORDS, SOURCE, TARGET = range(7)
"""What a pair's random numbers are for."""
PARTNERS = 8
"""How many others a pair is offered, one after the other, to be joined with one that is short enough."""
PAIRS_AT_ONCE = 2**17
"""Pairs whose rows, or lengths, are made at once: they take a few seconds and some hundred megabytes."""

Sides = tuple[Ragged, Ragged]


@dataclass(frozen=True)
class Drawn:
    """What some pairs become: arrays of the same size."""

    upper: NDArray[np.bool_]
    title: NDArray[np.bool_]
    typos: NDArray[np.bool_]
    unpunctuated: NDArray[np.bool_]
    partners: Indices
    """The pair that each is joined with; -1: none."""

    @property
    def change_texts(self) -> NDArray[np.bool_]:
        """Which pairs get other texts, beside being joined."""
        return self.upper | self.title | self.typos | self.unpunctuated


@dataclass(frozen=True)
class NoisyEpoch:
    """The training pairs in one epoch."""

    lengths: Lengths
    """What the epoch is planned with; without estimates of noise, one long row would pad all others of its batch."""
    rows: Callable[[Indices], Sides]
    """Returns the rows of pairs."""


class Noise:
    """Draws what pairs become, and makes it so.

    A pair whose row would be too long, or whose target would get unknown tokens, stays without its noise.
    """

    def __init__(
        self,
        config: NoiseConfig,
        seed: int,
        max_length: int,
        subwords: Subwords,
        languages: tuple[str | None, str | None] = (None, None),
    ) -> None:
        """Make noise of at most `max_length` tokens a side; the languages decide some capitals.

        Raises InputError for a tokenizer that has no subwords to sample.
        """
        self._config, self._seed, self._max_length = config, seed, max_length
        self._pieces: tuple[Pieces, Pieces] = subwords.pieces
        self._symbols, self._languages = symbols_pattern(subwords.user_symbols), languages
        sampled = {"none": (), "source": (0,), "target": (1,), "both": (0, 1)}[config.subword_sampling]
        self._samplers = {
            side: SubwordSampler(self._pieces[side], config.sampling_alpha, config.bpe_dropout) for side in sampled
        }

    def draw(self, sides: Sides, epoch: int, pairs: Indices) -> Drawn:
        """Draw what pairs of the encoded ones become in an epoch."""
        config, keys = self._config, pair_keys(self._seed, epoch, pairs)
        case = uniform(stream(keys, CASE), 0)
        return Drawn(
            upper=case < config.upper_case,
            title=(case >= config.upper_case) & (case < config.upper_case + config.title_case),
            typos=uniform(stream(keys, TYPOS), 0) < config.typos,
            unpunctuated=uniform(stream(keys, PUNCTUATION), 0) < config.no_final_punctuation,
            partners=self._partners(sides, pairs, stream(keys, JOINED)),
        )

    def _partners(self, sides: Sides, pairs: Indices, keys: Keys) -> Indices:
        """Draw other pairs, and take the first that is short enough."""
        partners = np.full(pairs.size, -1)
        seeking = np.flatnonzero(uniform(keys, 0) < self._config.joined)
        for place in range(1, PARTNERS + 1):
            if not seeking.size:
                break
            others = (numbers(keys[seeking], place) % np.uint64(sides[0].lengths.size)).astype(np.int64)
            fits = others != pairs[seeking]
            for side, between in zip(sides, self._between, strict=True):
                length = side.lengths[pairs[seeking]] - 1 + between.size + side.lengths[others]
                fits &= length <= self._max_length
            partners[seeking[fits]] = others[fits]
            seeking = seeking[~fits]
        return partners

    @cached_property
    def _between(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        source, target = (np.array(pieces.between_sentences, dtype=np.int32) for pieces in self._pieces)
        return source, target

    def epoch(self, sides: Sides, epoch: int) -> "NoisyEpoch":
        """Return what an epoch is planned with, and its rows.

        Of a corpus of up to `PAIRS_AT_ONCE` pairs all rows are made here, which takes less than making them step by
        step, and their lengths are known. Of a larger one they are made when they come, and the lengths are estimates:
        the first step does not wait for millions of texts.
        """
        size = sides[0].lengths.size
        if size <= PAIRS_AT_ONCE:
            made = self.apply(sides, epoch, np.arange(size))
            return NoisyEpoch(
                Lengths(made[0].lengths, made[1].lengths), lambda pairs: (made[0].take(pairs), made[1].take(pairs))
            )
        chunks = [
            self._lengths(sides, epoch, np.arange(first, min(first + PAIRS_AT_ONCE, size)))
            for first in range(0, size, PAIRS_AT_ONCE)
        ]
        source, target = (np.concatenate([chunk[side] for chunk in chunks]) for side in (0, 1))
        return NoisyEpoch(Lengths(source, target), lambda pairs: self.apply(sides, epoch, pairs))

    def _lengths(self, sides: Sides, epoch: int, pairs: Indices) -> list[Indices]:
        """Return the lengths of joined pairs, and estimates of all other noise."""
        drawn = self.draw(sides, epoch, pairs)
        return [
            self._estimates[number].lengths(side, pairs, drawn.upper, drawn.title, drawn.typos, drawn.partners)
            for number, side in enumerate(sides)
        ]

    @cached_property
    def _estimates(self) -> tuple[Estimates, Estimates]:
        source, target = (
            Estimates(pieces, self._config, self._max_length, self._samplers.get(side), is_source=side == 0)
            for side, pieces in enumerate(self._pieces)
        )
        return source, target

    def apply(self, sides: Sides, epoch: int, pairs: Indices) -> Sides:
        """Return the rows of some pairs as they are in an epoch."""
        drawn = self.draw(sides, epoch, pairs)
        changed = np.flatnonzero(drawn.change_texts | (drawn.partners >= 0))
        keys = pair_keys(self._seed, epoch, pairs)
        rows = [[side.row(pair) for pair in pairs.tolist()] for side in sides]
        for place in changed.tolist():
            self._change(sides, rows, drawn, place, keys)
        source, target = map(Ragged.of_arrays, rows)
        return self._sampled(source, 0, keys), self._sampled(target, 1, keys)

    def _change(self, sides: Sides, rows: list[list[NDArray[np.int32]]], drawn: Drawn, place: int, keys: Keys) -> None:
        """Put the noise of one pair into its rows."""
        if (partner := int(drawn.partners[place])) >= 0:
            for number, (side, between) in enumerate(zip(sides, self._between, strict=True)):
                rows[number][place] = np.concatenate([rows[number][place][:-1], between, side.row(partner)])
        if not drawn.change_texts[place]:
            return
        before = [side[place] for side in rows]
        after = [self._noisy(number, row, drawn, place, keys) for number, row in enumerate(before)]
        # A capital that no target has would teach the network to say <unk>.
        is_strange = _unknown(after[1]) > _unknown(before[1])
        if not is_strange and max(row.size for row in after) <= self._max_length:
            for number, row in enumerate(after):
                rows[number][place] = row

    def _noisy(self, side: int, row: NDArray[np.int32], drawn: Drawn, place: int, keys: Keys) -> NDArray[np.int32]:
        """Return the row of a text with its noise; the row itself if its text does not change."""
        text = original = self._pieces[side].decode(row[:-1].tolist())
        language, symbols = self._languages[side], self._symbols
        if drawn.typos[place] and side == 0:
            words = Stream(int(stream(keys[place : place + 1], WORDS)[0]))
            text = with_typos(text, self._config.typo_words, words, symbols)
        if drawn.unpunctuated[place]:
            text = without_final_punctuation(text, symbols)
        if drawn.upper[place]:
            text = upper_case(text, symbols, language)
        elif drawn.title[place]:
            text = title_case(text, symbols, language)
        return row if text == original else np.array(self._pieces[side].encode(text), dtype=np.int32)

    def _sampled(self, rows: Ragged, side: int, keys: Keys) -> Ragged:
        """Return the rows of one side with other segmentations, if there are to be any."""
        if side not in self._samplers:
            return rows
        sampled = self._samplers[side].sample(rows, stream(keys, (SOURCE, TARGET)[side]))
        too_long = sampled.lengths > self._max_length
        if not too_long.any():
            return sampled
        size = rows.lengths.size
        return Ragged.joined([sampled, rows]).take(np.where(too_long, size, 0) + np.arange(size))


def _unknown(row: NDArray[np.int32]) -> int:
    return int((row == SPECIAL_TOKENS.unknown).sum())
