"""The probabilities of languages for many texts at once, by py3langid's model, several times as fast as one by one.

The model (Lui and Baldwin 2011) walks over the bytes of a text with an automaton, whose states tell n-grams; a naive
Bayes classifier weights how often each was met. Here all texts take a step together. A test compares every number with
py3langid's own, since its documentation promises none of the tables that are used here; read in version 0.4.0.
"""

import unicodedata
from collections.abc import Sequence
from copy import copy
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier

AT_ONCE = 1_000
"""Texts that are walked over together: their steps fit into a core's cache."""
Probabilities = NDArray[np.float32]


class Identifier:
    """Tells some languages from one another."""

    def __init__(self, languages: Sequence[str]) -> None:
        """Take the languages, by their names in the model."""
        narrowed = copy(model())
        narrowed.set_languages(tuple(languages))
        columns = list(narrowed.nb_classes)
        self.languages = list(dict.fromkeys(columns))
        """A language in two scripts has two columns in the model, whose probabilities are added."""
        self._merged = np.array([self.languages.index(name) for name in columns])
        self._weights = np.asarray(narrowed.nb_ptc, dtype=np.float32)
        self._priors = np.asarray(narrowed.nb_pc, dtype=np.float32)

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Return the probability of each language for each text, of shape (texts, languages)."""
        encoded = [_encoded(text) for text in texts]
        found = np.zeros((len(texts), len(self.languages)), dtype=np.float32)
        # Texts of one length together: a walk is as long as its longest text.
        order = np.argsort([-len(text) for text in encoded], kind="stable")
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            found[rows] = self._of_some([encoded[row] for row in rows])
        return found

    def _of_some(self, encoded: Sequence[bytes]) -> Probabilities:
        """Return the same of texts of which the first is the longest."""
        lengths = np.array([len(text) for text in encoded])
        scores = self._scores(_walk(encoded, lengths))
        scores /= np.sqrt(np.maximum(lengths, 1), dtype=np.float32)[:, None]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        merged = np.zeros((len(encoded), len(self.languages)), dtype=np.float32)
        for column, language in enumerate(self._merged):
            merged[:, language] += shares[:, column]
        return merged

    def _scores(self, features: NDArray[np.int32]) -> Probabilities:
        """Return the logarithmic scores, prior + sum of log(1 + count) weight, of each row of features; -1 is none."""
        scores = np.zeros((len(features), len(self._priors)), dtype=np.float32)
        features.sort(axis=1)
        begins = features >= 0
        begins[:, 1:] &= features[:, 1:] != features[:, :-1]
        places = np.flatnonzero(begins)
        if not places.size:
            return scores
        rows = places // features.shape[1]
        # A feature's occurrences end where the next begins, or with the row.
        ends = np.minimum(np.append(places[1:], features.size), (rows + 1) * features.shape[1])
        counts = np.log1p((ends - places).astype(np.float32))
        terms = counts[:, None] * self._weights[features.ravel()[places]]
        firsts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
        scores[rows[firsts]] = np.add.reduceat(terms, firsts, axis=0) + self._priors
        return scores


def _encoded(text: str) -> bytes:
    text = text.lower() if text.isupper() else text
    return unicodedata.normalize("NFC", text).encode("utf8", "surrogatepass")


def _walk(encoded: Sequence[bytes], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the feature that each byte of each text completes, or -1, of shape (texts, bytes of the first)."""
    moves, row_of, feature_of = _automaton()
    width = int(lengths[0]) if lengths.size else 0
    codes = np.frombuffer(b"".join(text.ljust(width, b"\0") for text in encoded), dtype=np.uint8)
    steps = np.ascontiguousarray(codes.reshape(len(encoded), width).T)
    features = np.full((width, len(encoded)), -1, dtype=np.int32)
    states = np.zeros(len(encoded), dtype=np.int64)
    going = np.searchsorted(-lengths, -np.arange(width), side="left")  # How many texts are longer than the step.
    for step, count in enumerate(going):
        states[:count] = moves[row_of[states[:count]] + steps[step, :count]]
        features[step, :count] = feature_of[states[:count]]
    return np.ascontiguousarray(features.T)


@cache
def _automaton() -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int32]]:
    """Return where each row of states goes by a byte, the begin of each state's row, and the state's feature."""
    found = model()
    rows = np.asarray(found.tk_row, dtype=np.int64) << 8
    return np.asarray(found.tk_nextmove), rows, np.asarray(found.tk_output, dtype=np.int32)


@cache
def model() -> LanguageIdentifier:
    """Return py3langid's own identifier; its model comes with the package and is plain numbers (npz)."""
    return LanguageIdentifier.from_model_file(Path(MODEL_FILE), norm_probs=True)
