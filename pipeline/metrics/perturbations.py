"""Texts as careless writers write them: in upper case, with typos, without the last full stop, with an emoji.

For copies of test sets. What a typo is, and which marks end a sentence, noise in training says (`noise/texts.py`).
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pipeline.config import EvaluationConfig, Perturbation
from pipeline.metrics.faults import WORD
from pipeline.noise.draws import Stream
from pipeline.noise.texts import misspelt, without_final_punctuation

EMOJI = ("😀", "😂", "😊", "😍", "😭", "🙏", "🎉", "🔥", "✨", "👏", "❤️", "👍🏽", "🤷‍♀️", "👩‍💻", "🇪🇺", "☀️")
"""Frequent ones, also such as are several characters: with a variation selector, a skin tone, a joiner, a flag."""

COMPARED: Mapping[str, Callable[[str], str]] = {
    "upper_case": str.lower,
    "no_final_punctuation": lambda text: without_final_punctuation(text, None),
}
"""As what a copy's translations and references are compared: what its sources lack, a translation may have or not."""


def emoji(text: str, draw: Stream) -> str:
    """Return a text with an emoji: at its end every other time, else after one of its words."""
    found = EMOJI[draw.below(len(EMOJI))]
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    place = len(text) if draw.uniform() < 0.5 or not ends else ends[draw.below(len(ends))]
    return f"{text[:place]} {found}{text[place:]}"


def typos(text: str, draw: Stream, share: float = 0.1) -> str:
    """Return a text in which each word with a letter has a typo with a probability of `share`.

    In scripts without white space a character is a word.
    """

    def write(match: re.Match[str]) -> str:
        may_err = any(map(str.isalpha, match[0])) and draw.uniform() < share
        return misspelt(match[0], draw) if may_err else match[0]

    return WORD.sub(write, text)


def perturb(texts: Sequence[str], kind: Perturbation, config: EvaluationConfig) -> list[str]:
    """Return texts with a perturbation; what becomes of one depends on it, the kind and the seed, on nothing else."""
    kinds: dict[Perturbation, Callable[[str, Stream], str]] = {
        "upper_case": lambda text, draw: text.upper(),
        "typos": partial(typos, share=config.typo_share),
        "no_final_punctuation": lambda text, draw: without_final_punctuation(text, None),
        "emoji": emoji,
    }
    return [kinds[kind](text, draws_of(text, kind, config.perturbation_seed)) for text in texts]


def draws_of(text: str, kind: str, seed: int) -> Stream:
    """Return the random numbers of a text's perturbation: the same on every machine and wherever the text stands."""
    digest = hashlib.blake2b(json.dumps([seed, kind, text]).encode(), digest_size=8).digest()
    return Stream(int.from_bytes(digest))
