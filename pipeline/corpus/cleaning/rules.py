"""The rules by name, and which of them `off`, `mild` and `strict` stand for."""

from collections.abc import Sequence

from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.cleaning.pair_rules import LANGUAGE, PAIR_RULES
from pipeline.source_config import Clean, RuleName

CORPUS_RULES = {
    "ratio": "one side is far too short for the other, by what is usual in this corpus",
    "duplicate": "the same pair came before",
    "similar": "the same pair came before, but for case, punctuation and spacing",
    "near_duplicate": "a pair with nearly the same words on both sides came before",
    "many_targets": "ten other targets of the same source came before",
}
"""Rules that need the whole corpus, in the order in which they decide, with what each of them drops."""
LEAK = ("leak", "it is in validation or test, too, or nearly so")
DESCRIPTIONS: dict[str, str] = {
    **{name: what for name, (_, what) in REPAIRS.items()},
    **{name: what for name, (_, what) in PAIR_RULES.items()},
    LANGUAGE[0]: LANGUAGE[1],
    **CORPUS_RULES,
    LEAK[0]: LEAK[1],
}
"""All rules in the order in which they come; the last holds for what is left of train, by corpus.leaks."""
MILD: tuple[RuleName, ...] = (
    *("mojibake", "controls", "long", "copy", "letters", "addresses", "language", "ratio", "duplicate"),
)
STRICT: tuple[RuleName, ...] = (*MILD, "nfc", "numbers", "similar", "near_duplicate", "many_targets")


def rules_of(clean: Clean) -> Sequence[str]:
    """Return the names of the rules that hold, in the order in which they come.

    >>> rules_of(("duplicate", "nfc"))
    ['nfc', 'duplicate']
    """
    if isinstance(clean, str):
        clean = {"off": (), "mild": MILD, "strict": STRICT}[clean]
    return [name for name in DESCRIPTIONS if name in clean]
