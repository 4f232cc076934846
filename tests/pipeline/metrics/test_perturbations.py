"""Texts as careless writers write them: the same ones on every machine, wherever they stand."""

import random
import re
from collections import Counter
from typing import get_args

import pytest

from pipeline.config import EvaluationConfig, Perturbation
from pipeline.corpus.captions import generate_pairs
from pipeline.metrics.perturbations import COMPARED, EMOJI, emoji, perturb, typos
from pipeline.noise.draws import Stream

KINDS: tuple[Perturbation, ...] = get_args(Perturbation)
TEXTS = [source for source, _ in generate_pairs(300, seed=3)]
DEFAULT = EvaluationConfig()


@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_of_a_text_depends_on_nothing_else(kind: Perturbation) -> None:
    there = dict(zip(TEXTS, perturb(TEXTS, kind, DEFAULT), strict=True))
    shuffled = random.Random(1).sample(TEXTS, 100)
    assert perturb(shuffled, kind, DEFAULT) == [there[text] for text in shuffled]
    other = perturb(TEXTS, kind, EvaluationConfig(perturbation_seed=2))
    assert (other != list(there.values())) == (kind in ("typos", "emoji"))


def test_texts_are_the_same_for_good() -> None:
    """With another draw, stored figures would mean something else: raise the evaluation's version then."""
    text = "Zwei Hunde laufen durch den Park und spielen mit einem roten Ball."
    (misspelt,) = perturb([text], "typos", EvaluationConfig(typo_share=0.5))
    assert misspelt == "Zei Huunde laufen durch den Park ud spielen mit einem rotne Ball."
    assert perturb([text], "emoji", DEFAULT) == [text.replace("roten ", "roten 🇪🇺 ")]


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_a_stated_share_of_the_words_has_a_typo(share: float) -> None:
    before = [text.split() for text in TEXTS]
    after = [text.split() for text in perturb(TEXTS, "typos", EvaluationConfig(typo_share=share))]
    words = [pair for texts in zip(before, after, strict=True) for pair in zip(*texts, strict=True)]
    assert len(words) > 2000
    changed = [pair for pair in words if pair[0] != pair[1]]
    assert len(changed) / len(words) == pytest.approx(share, abs=0.02)
    assert {len(after) - len(before) for before, after in changed} == {-1, 0, 1}
    lost = {(Counter(before) - Counter(after)).total() for before, after in changed}
    assert lost == {0, 1}, "one letter at most is another, or none"


def test_typos_in_all_scripts() -> None:
    def written(text: str) -> set[str]:
        return {typos(text, Stream(seed), share=1.0) for seed in range(300)}

    mistaken = {f"{letter}b" for letter in "qwsz"} | {f"a{letter}" for letter in "ghvn"}
    assert written("ab") == {"aab", "abb", "b", "a", "ba"} | mistaken
    assert written("A") == {"AA", "Q", "W", "S", "Z"}, "a word does not vanish"
    assert written("дом") >= {"дм", "одм", "доом"}, "of a keyboard that is not ours, no neighbours"
    assert written("12 + 3.") == {"12 + 3."}
    assert all(len(text) == 6 for text in written("你好吗")), "a character is a word"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Ein Hund.", "Ein Hund"),
        ("Wirklich?!", "Wirklich"),
        ("Il dit : oui !", "Il dit : oui"),
        ('"Komm." ', '"Komm" '),
        ("他说：“好。”", "他说：“好”"),
        ("यह घर है।", "यह घर है"),
        ("z. B. so", "z. B. so"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_final_punctuation(text: str, without: str) -> None:
    assert perturb([text], "no_final_punctuation", DEFAULT) == [without]


def test_an_emoji_is_added_and_nothing_else_changes() -> None:
    draw = Stream(1)
    texts = [emoji(text, draw) for text in TEXTS]
    added = "|".join(map(re.escape, EMOJI))
    assert [re.sub(f" ({added})", "", text) for text in texts] == TEXTS
    assert 0.4 < sum(text.endswith(EMOJI) for text in texts) / len(texts) < 0.75
    assert {emoji("你好", Stream(seed))[:2] for seed in range(20)} == {"你好"}


def test_what_the_sources_lack_translations_may_have_or_not() -> None:
    assert COMPARED["upper_case"]("A DOG.") == COMPARED["upper_case"]("A dog.")
    assert COMPARED["no_final_punctuation"]("A dog.") == COMPARED["no_final_punctuation"]("A dog")
    assert {*COMPARED} < {*get_args(Perturbation)}
