"""Subword sampling: rows of tokens become other rows that spell the same text."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Indices
from pipeline.errors import InputError
from pipeline.inference.pieces import SPACE, Pieces
from pipeline.noise.draws import Keys, numbers
from pipeline.noise.lattice import FIXED, MOST_NODES, NOT_YET, DropoutLattice, Lattice, UnigramLattice

TRIALS = 16
"""Drawings of a piece from which its expected number of pieces is computed."""
MOST_STEPS = 2**16
"""Random numbers that a word has at most."""


class SubwordSampler:
    """Draws segmentations for the rows of one side.

    Rows are drawn word by word: a word is a run of tokens of which the first begins with a blank. Unknown tokens,
    bytes and user symbols stay, and so does `end`.
    """

    def __init__(self, pieces: Pieces, alpha: float, dropout: float) -> None:
        """Draw with `alpha` from a unigram model, with `dropout` from BPE.

        Raises InputError for a model of another kind.
        """
        if pieces.kind not in ("unigram", "bpe"):
            raise InputError(
                f"noise.subword_sampling: the tokenizer is a SentencePiece model of kind {pieces.kind}, which cuts a "
                "sentence in one way only; set noise.subword_sampling=none, or use a unigram or bpe model"
            )
        is_bpe = pieces.kind == "bpe"
        self._texts = pieces.texts
        self._make: Callable[[], Lattice] = lambda: (
            DropoutLattice(pieces, dropout) if is_bpe else UnigramLattice(pieces, alpha)
        )
        self._stay = ~np.array(pieces.are_normal)
        self._begin = np.array([text.startswith(SPACE) for text in pieces.texts])
        self._forget()

    def _forget(self) -> None:
        """Empty the table."""
        self._lattice = self._make()
        self._of_token = np.where(self._stay, np.int32(FIXED), np.int32(NOT_YET))
        self._of_tokens: dict[bytes, int] = {}

    def sample(self, rows: Ragged, keys: Keys) -> Ragged:
        """Return rows with other segmentations, drawn with a key for each row."""
        if self._lattice.nodes > MOST_NODES:
            self._forget()
        starts, row_of_word, place_in_row = self._words(rows)
        ends = np.append(starts[1:], rows.values.size)
        nodes = self._nodes(rows.values, starts, ends)
        kept, active = np.flatnonzero(nodes == FIXED), np.flatnonzero(nodes != FIXED)
        places = _ranges(starts[kept], ends[kept])
        found = [(np.repeat(kept, (ends - starts)[kept]), rows.values[places])]
        order = [places - np.repeat(starts[kept], (ends - starts)[kept])]
        counts = np.zeros(starts.size, dtype=np.int64)
        counts[kept] = (ends - starts)[kept]
        current, step = nodes[active], 0
        while active.size:
            drawn = numbers(keys[row_of_word[active]], place_in_row[active] * MOST_STEPS + step)
            following, emitted = self._lattice.draw(current, drawn)
            words = active[emitted.places]
            found.append((words, emitted.tokens))
            order.append(counts[words] + emitted.numbers)
            counts += np.bincount(words, minlength=counts.size)
            goes_on = following >= 0
            active, current, step = active[goes_on], following[goes_on], step + 1
        offsets = np.concatenate([[0], np.cumsum(counts)])  # Of the words.
        values = np.empty(int(offsets[-1]), dtype=np.int32)
        words = np.concatenate([which for which, _ in found])
        values[offsets[words] + np.concatenate(order)] = np.concatenate([tokens for _, tokens in found])
        return Ragged(values, offsets[np.searchsorted(row_of_word, np.arange(rows.lengths.size + 1))])

    def expected_lengths(self) -> NDArray[np.float64]:
        """Return about how many pieces each token becomes, by itself."""
        tokens = np.repeat(np.arange(len(self._texts), dtype=np.int32), TRIALS)
        keys = np.arange(tokens.size, dtype=np.uint64)
        drawn = self.sample(Ragged(tokens, np.arange(tokens.size + 1)), keys)
        return np.asarray(drawn.lengths.reshape(-1, TRIALS).mean(axis=1))

    def _words(self, rows: Ragged) -> tuple[Indices, Indices, Indices]:
        """Return where each word begins, its row, and its place among the words of the row."""
        values = rows.values
        stays = self._stay[values]
        is_start = stays | self._begin[values]
        is_start[1:] |= stays[:-1]
        is_start[rows.offsets[:-1][rows.lengths > 0]] = True
        starts = np.flatnonzero(is_start)
        row_of_word = np.repeat(np.arange(rows.lengths.size), rows.lengths)[starts]
        return starts, row_of_word, np.arange(starts.size) - starts.searchsorted(rows.offsets[:-1])[row_of_word]

    def _nodes(self, values: NDArray[np.int32], starts: Indices, ends: Indices) -> NDArray[np.int32]:
        """Return the first node of each word."""
        first = values[starts]
        alone = ends - starts == 1
        nodes = self._of_token[first]
        for token in np.unique(first[alone & (nodes == NOT_YET)]).tolist():
            self._of_token[token] = self._lattice.add_word(self._texts[token])
        nodes = self._of_token[first]
        longer, content = np.flatnonzero(~alone), values.tobytes()
        for word, start, end in zip(longer.tolist(), starts[longer].tolist(), ends[longer].tolist(), strict=True):
            key = content[start * values.itemsize : end * values.itemsize]
            node = self._of_tokens.get(key)
            if node is None:
                node = self._lattice.add_word("".join(self._texts[token] for token in values[start:end].tolist()))
                self._of_tokens[key] = node
            nodes[word] = node
        return nodes


def _ranges(starts: Indices, ends: Indices) -> Indices:
    """Return all numbers from each start to its end, which is left out.

    >>> _ranges(np.array([3, 7]), np.array([5, 8])).tolist()
    [3, 4, 7]
    """
    lengths = ends - starts
    shifts = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    return np.asarray(np.arange(shifts.size) + shifts)
