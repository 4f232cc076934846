"""How long rows become through noise, about: sums over their tokens, without a text being encoded."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Indices
from pipeline.inference.pieces import SPACE, Pieces
from pipeline.noise.sampling import SubwordSampler
from pipeline.noise.texts import title_case, upper_case
from pipeline.noise_config import NoiseConfig

TOKENS_OF_A_TYPO = 2
"""So many more tokens a word has with a typo."""

Marks = NDArray[np.bool_]


class Estimates:
    """The lengths of one side's rows with noise."""

    def __init__(
        self, pieces: Pieces, config: NoiseConfig, max_length: int, sampler: SubwordSampler | None, is_source: bool
    ) -> None:
        """Look once at every piece."""
        self._config, self._max_length, self._is_source = config, max_length, is_source
        self._between = len(pieces.between_sentences)
        plain = np.ones(len(pieces.texts)) if sampler is None else sampler.expected_lengths()
        self._plain = None if sampler is None else plain

        def table(change: Callable[[str], str]) -> NDArray[np.float64]:
            """Return how many tokens each piece becomes, which are sampled, too."""
            changed = (_recoded(pieces, text, change) if is_normal else None for text, is_normal in named)
            return np.array([plain[place] if row is None else plain[row].sum() for place, row in enumerate(changed)])

        named = [*zip(pieces.texts, pieces.are_normal, strict=True)]
        self._upper = table(lambda text: upper_case(text, None)) if config.upper_case else plain
        self._title = table(lambda text: title_case(text, None)) if config.title_case else plain

    def lengths(
        self, side: Ragged, pairs: Indices, upper: Marks, title: Marks, typos: Marks, partners: Indices
    ) -> Indices:
        """Return about how long the rows of pairs become: those with these marks and partners."""
        stored = side.lengths[pairs]
        found = self._sums(side, pairs, upper, title)
        joined = np.flatnonzero(partners >= 0)
        others = self._sums(side, partners[joined], upper[joined], title[joined])
        found[joined] += others + self._between - 1
        stored[joined] += side.lengths[partners[joined]] + self._between - 1
        if self._is_source:
            found[typos] += np.maximum(1.0, found[typos] / 2 * self._config.typo_words) * TOKENS_OF_A_TYPO
        rounded = np.rint(found).astype(np.int64)
        return np.where(rounded > self._max_length, stored, rounded)  # Noise that makes a row too long is left out.

    def _sums(self, side: Ragged, rows: Indices, upper: Marks, title: Marks) -> NDArray[np.float64]:
        found = side.lengths[rows].astype(np.float64) if self._plain is None else row_sums(side, rows, self._plain)
        for marks, table in ((upper, self._upper), (title, self._title)):
            if marks.any():
                found[marks] = row_sums(side, rows[marks], table)
        return found


def _recoded(pieces: Pieces, text: str, change: Callable[[str], str]) -> Sequence[int] | None:
    """Return the tokens of a piece's changed text; None if it does not change, or is a blank alone."""
    plain = text.removeprefix(SPACE)
    if not plain or SPACE in plain or (changed := change(plain)) == plain:
        return None
    tokens = pieces.encode(changed)[:-1]
    # A text begins with a blank, which a piece inside a word does not have.
    return tokens if text.startswith(SPACE) or pieces.texts[tokens[0]] != SPACE else tokens[1:]


def row_sums(side: Ragged, rows: Indices, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of what a table has for the tokens of each row; rows have at least one token."""
    if not rows.size:
        return np.zeros(0)
    taken = side.take(rows)
    return np.asarray(np.add.reduceat(table[taken.values], taken.offsets[:-1]))
