"""Languages of many texts at once: the numbers are py3langid's own, text by text."""

from copy import copy
from importlib.metadata import version

import numpy as np
import pytest

from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.cleaning.identifier import AT_ONCE, Identifier, model

LANGUAGES = ("ar", "de", "en", "es", "fr", "ja", "no", "ru", "sr", "zh")
TEXTS = [
    "",
    "x",
    "...",
    "Ein Hund bellt.",
    "ZWEI HUNDE BELLEN",
    "これは日本語です",
    "Ћирилица и latinica",
    "cafe\u0301",
    "\udc80",
]


def test_the_version_is_the_one_whose_tables_were_read() -> None:
    assert version("py3langid") == "0.4.0", "compare pipeline/corpus/cleaning/identifier.py with its source"


@pytest.mark.parametrize("languages", [LANGUAGES, ("de", "en")])
def test_probabilities_are_those_of_the_texts_one_by_one(languages: tuple[str, ...]) -> None:
    texts = [*TEXTS, *(side for pair in generate_pairs(AT_ONCE, 1) for side in pair)]
    one_by_one = copy(model())
    one_by_one.set_languages(languages)
    identifier = Identifier(languages)
    expected = [[dict(one_by_one.rank(text))[name] for name in identifier.languages] for text in texts]
    np.testing.assert_allclose(identifier.probabilities(texts), expected, atol=1e-5)


def test_no_text_has_no_probabilities() -> None:
    assert Identifier(("de", "en")).probabilities([]).shape == (0, 2)
