"""The ways in which a word can be cut into pieces, as a table from which many words are drawn at once.

A node is a state of the drawing; its rows in the table are what may come next, with the probability that it is this one
or one before it. All rows of all nodes lie in one sorted column, node + probability: one search finds a row for each of
many nodes, with a random number for each.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inference.pieces import Pieces

END, FIXED, NOT_YET = -1, -1, -2
"""No node comes next; a word is not drawn, but stays; a node or word is not in the table yet."""
STEPS = 2.0**32
"""Probabilities are multiples of 1 / STEPS: then node + probability is exact for as many nodes as there may be."""
MOST_NODES = 2**19
"""The table is emptied when it has more; in one batch, as many may come again."""


class Column:
    """Numbers of which there come more and more."""

    def __init__(self, kind: type[np.generic]) -> None:
        """Begin without any, of this type."""
        self._room, self.size = np.empty(1024, kind), 0

    def extend(self, numbers: Sequence[float] | NDArray[Any]) -> None:
        """Add numbers."""
        end = self.size + len(numbers)
        while end > self._room.size:
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self.size : end] = numbers
        self.size = end

    @property
    def all(self) -> NDArray[Any]:
        """What there is; it may be changed."""
        return self._room[: self.size]


@dataclass(frozen=True)
class Drawn:
    """Tokens that were drawn at nodes: of no, one or several tokens at each."""

    places: NDArray[np.int64]
    """The places of the nodes among those that were drawn at."""
    numbers: NDArray[np.int64]
    """From 0 on at each node."""
    tokens: NDArray[np.int32]


class Lattice(ABC):
    """A growing table of nodes."""

    def __init__(self) -> None:
        """Begin without a node."""
        self._bounds, self._next, self._what = Column(np.float64), Column(np.int32), Column(np.int32)
        self.nodes = 0

    @abstractmethod
    def add_word(self, word: str) -> int:
        """Add a word and return its first node; FIXED if there is nothing to draw."""

    @abstractmethod
    def draw(self, nodes: NDArray[np.int32], numbers: NDArray[np.uint64]) -> tuple[NDArray[np.int32], "Drawn"]:
        """Draw what comes next at each of the nodes, with a random number of 64 bits for each.

        Returns the next nodes, and the tokens that were drawn.
        """

    def _add(self, rows_of_nodes: Sequence[tuple[Sequence[float], Sequence[int], Sequence[int]]]) -> None:
        """Add nodes, each with the probabilities of its rows, whose sum is 1, what comes next, and what is drawn."""
        bounds, following, drawn = list[float](), list[int](), list[int]()
        for probabilities, nodes, what in rows_of_nodes:
            sums = accumulate(probabilities)
            bounds += [self.nodes + min(math.floor(each * STEPS) / STEPS, 1.0) for each in sums]
            bounds[-1] = self.nodes + 1.0
            following += nodes
            drawn += what
            self.nodes += 1
        self._bounds.extend(bounds)
        self._next.extend(following)
        self._what.extend(drawn)

    def _choose(self, nodes: NDArray[np.int32], numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the drawn row of each node."""
        points = nodes + (numbers >> np.uint64(32)).astype(np.float64) / STEPS
        return self._bounds.all.searchsorted(points, side="right")


class UnigramLattice(Lattice):
    r"""Segmentations of a unigram model with probabilities P(x)^alpha / sum over all x' of P(x')^alpha.

    That is equation 8 of Kudo 2018, "Subword Regularization" (arXiv 1804.10959), with all segmentations as the
    candidates (l = infinity), where P(x) is the product of the pieces' probabilities. A node is a place in a word. With
    the sum over the ways to the word's end, beta(i) = sum over pieces x from i to j of p(x)^alpha beta(j), the next
    piece is x with the probability p(x)^alpha beta(j) / beta(i): the paper's forward filtering and backward sampling,
    read from the other end. Words are independent, since no piece spans a blank.
    """

    def __init__(self, pieces: Pieces, alpha: float) -> None:
        """Draw with this `alpha`: 1 is the model's own distribution, 0 the uniform one."""
        super().__init__()
        rows = enumerate(zip(pieces.texts, pieces.scores, pieces.are_normal, strict=True))
        self._pieces = {text: (token, alpha * score) for token, (text, score, is_normal) in rows if is_normal}
        self._longest = max(map(len, self._pieces), default=0)

    def add_word(self, word: str) -> int:
        """Add the places of a word as nodes."""
        size = len(word)
        beta = [-math.inf] * size + [0.0]
        ways: list[list[tuple[int, int, float]]] = [[] for _ in word]
        for begin in reversed(range(size)):
            for end in range(begin + 1, min(size, begin + self._longest) + 1):
                found = self._pieces.get(word[begin:end])
                if found is not None and beta[end] > -math.inf:
                    ways[begin].append((found[0], end, found[1] + beta[end]))
            beta[begin] = _log_of_sum([weight for _, _, weight in ways[begin]])
        if not ways[0]:
            return FIXED
        places = [place for place in range(size) if ways[place]]
        node_at = {place: self.nodes + number for number, place in enumerate(places)} | {size: END}
        self._add(
            [
                (
                    [math.exp(weight - beta[place]) for _, _, weight in ways[place]],
                    [node_at[end] for _, end, _ in ways[place]],
                    [token for token, _, _ in ways[place]],
                )
                for place in places
            ]
        )
        return node_at[0]

    def draw(self, nodes: NDArray[np.int32], numbers: NDArray[np.uint64]) -> tuple[NDArray[np.int32], Drawn]:
        """Draw a piece at each of the nodes."""
        rows = self._choose(nodes, numbers)
        return self._next.all[rows], Drawn(np.arange(nodes.size), np.zeros(nodes.size, np.int64), self._what.all[rows])


class DropoutLattice(Lattice):
    """Segmentations by BPE-dropout: Provilkov et al. 2020 (arXiv 1910.13267), algorithm 1.

    A word begins as its characters. In each step, every merge that is possible is left out with the probability
    `dropout`, and the best of the others is made; when none is left, the word is done. A node is a word with some
    merges made. Of its merges, ordered from the best, the i-th is made with the probability dropout^(i-1) (1 - dropout)
    and none of k with dropout^k. Nodes are added when they are first drawn. Words are independent, since no piece spans
    a blank.
    """

    def __init__(self, pieces: Pieces, dropout: float) -> None:
        """Leave out merges with the probability `dropout`: without it there is one segmentation, with 1 characters."""
        super().__init__()
        rows = enumerate(zip(pieces.texts, pieces.scores, pieces.are_normal, strict=True))
        self._pieces = {text: (token, score) for token, (text, score, is_normal) in rows if is_normal}
        self._dropout = dropout
        self._nodes: dict[tuple[str, ...], int] = {}
        self._parts: list[tuple[str, ...]] = []
        """Those of each node; as tokens they are in `_spelled`."""
        self._spelled, self._starts, self._sizes = Column(np.int32), Column(np.int64), Column(np.int64)

    def add_word(self, word: str) -> int:
        """Add a word's characters as a node."""
        return self._node(tuple(word)) if all(character in self._pieces for character in word) else FIXED

    def draw(self, nodes: NDArray[np.int32], numbers: NDArray[np.uint64]) -> tuple[NDArray[np.int32], Drawn]:
        """Draw a merge at each of the nodes, or the end with all tokens."""
        rows = self._choose(nodes, numbers)
        following = self._next.all[rows]
        missing = np.flatnonzero(following == NOT_YET)
        if missing.size:
            new, first = np.unique(rows[missing], return_index=True)
            for row, node in zip(new.tolist(), nodes[missing[first]].tolist(), strict=True):
                parts, place = self._parts[node], int(self._what.all[row])
                self._next.all[row] = self._node((*parts[:place], parts[place] + parts[place + 1], *parts[place + 2 :]))
            following = self._next.all[rows]
        ended = np.flatnonzero(following == END)
        starts, sizes = self._starts.all[nodes[ended]], self._sizes.all[nodes[ended]]
        numbers_of_tokens = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        tokens = self._spelled.all[np.repeat(starts, sizes) + numbers_of_tokens]
        return following, Drawn(np.repeat(ended, sizes), numbers_of_tokens, tokens)

    def _node(self, parts: tuple[str, ...]) -> int:
        """Return the node of a word in these parts."""
        if (known := self._nodes.get(parts)) is not None:
            return known
        found = [self._pieces.get(first + second) for first, second in pairwise(parts)]
        merges = sorted((-piece[1], place) for place, piece in enumerate(found) if piece is not None)
        dropped = [self._dropout**number for number in range(len(merges) + 1)]
        made = [probability * (1.0 - self._dropout) for probability in dropped[:-1]]
        places = [place for _, place in merges]
        self._nodes[parts] = node = self.nodes
        self._add([([*made, dropped[-1]], [NOT_YET] * len(places) + [END], [*places, 0])])
        self._parts.append(parts)
        self._starts.extend([self._spelled.size])
        self._sizes.extend([len(parts)])
        self._spelled.extend([self._pieces[part][0] for part in parts])
        return node


def _log_of_sum(logs: list[float]) -> float:
    most = max(logs, default=-math.inf)
    return most if most == -math.inf else most + math.log(sum(math.exp(log - most) for log in logs))
