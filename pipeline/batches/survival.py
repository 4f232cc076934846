"""What a tokenizer leaves of the references that translations are compared with: no translation equals a lost one."""

import re
from collections import Counter
from itertools import islice

from model.seq2seq import SPECIAL_TOKENS
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.splits import Split
from pipeline.data_config import TokenizerConfig
from pipeline.inference.subwords import Subwords
from pipeline.store.store import Figures

REFERENCES: tuple[Split, ...] = ("validation", "test")
AT_ONCE = 10_000
TOLERATED = 0.001
"""The share of changed references from which on a run warns."""
CHARACTERS, EXAMPLES, SHOWN = 10, 3, 3


def survival(corpus: Corpus, subwords: Subwords) -> Figures:
    """Return what encoding and decoding leaves of the targets of the validation and test pairs.

    One survives if it comes back with the same code points, where runs of blanks (U+0020) count as one and those at
    the ends as none. Other white space counts: a no-break space that became a blank is a change.

    `references` has the number of `sentences`; how many are `changed`; of these, how many are `unknown`, with a
    character that no piece spells; the most frequent of the `characters` lost; and `examples`. With user symbols,
    `unlearned_symbols` are those in no target of the training pairs.
    """
    sentences = changed = unknown = 0
    characters: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    for split in REFERENCES:
        remaining = (target for _, target in corpus.pairs(split))
        while references := list(islice(remaining, AT_ONCE)):
            rows = [row[:-1] for row in subwords.encode_target(references)]
            sentences += len(references)
            for reference, row, decoded in zip(references, rows, subwords.decode_target(rows), strict=True):
                if decoded != (kept := re.sub(" +", " ", reference).strip(" ")):
                    changed += 1
                    unknown += SPECIAL_TOKENS.unknown in row
                    characters += Counter(kept) - Counter(decoded)
                    examples.append({"reference": reference, "decoded": decoded})
                    del examples[EXAMPLES:]
    figures = {
        "sentences": sentences,
        "changed": changed,
        "unknown": unknown,
        "characters": [character for character, _ in characters.most_common(CHARACTERS)],
        "examples": examples,
    }
    return {"references": figures, **_unlearned(corpus, subwords.user_symbols)}


def _unlearned(corpus: Corpus, symbols: list[str]) -> Figures:
    if not symbols:
        return {}
    unseen = set(symbols)
    for _, target in corpus.pairs("train"):
        unseen -= {symbol for symbol in unseen if symbol in target}
    return {"unlearned_symbols": [symbol for symbol in symbols if symbol in unseen]}


def survival_warnings(figures: Figures, config: TokenizerConfig) -> list[str]:
    """Return what a user should know of a tokenizer's figures, each with its remedy."""
    warnings, found = list[str](), figures["references"]
    if found["changed"] > TOLERATED * found["sentences"]:
        lost = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in found["characters"][:SHOWN])
        remedy = _remedy(found["unknown"] > 0, found["changed"] > found["unknown"], config)
        warnings.append(
            f"{found['changed']:,} of {found['sentences']:,} references ({found['changed'] / found['sentences']:.1%}) "
            f"do not survive the tokenizer, which cannot write {lost or 'the order of their characters'}: no "
            f"translation can equal them{remedy}"
        )
    if symbols := figures.get("unlearned_symbols"):
        more = f" and {len(symbols) - 1} more are" if len(symbols) > 1 else " is"
        warnings.append(
            f"tokenizer.user_symbols: {symbols[0]!r}{more} in no target of the training pairs, so the model does not "
            "learn to write it; add pairs that have it on both sides"
        )
    return warnings


def _remedy(unknown: bool, unified: bool, config: TokenizerConfig) -> str:
    """Return what to set against unknown characters, and against those that a rule unifies."""
    remedies = []
    if unified and config.model is not None:
        remedies.append("train your model with --normalization_rule_name=identity")
    elif unified and config.normalization not in {"faithful", "identity"}:
        remedies.append("set tokenizer.normalization=faithful")
    if unknown and config.model is not None:
        remedies.append("train your model with --byte_fallback")
    elif unknown and config.character_coverage < 1:
        remedies.append("set tokenizer.character_coverage=1.0 or tokenizer.byte_fallback=true")
    elif unknown and not config.byte_fallback:
        remedies.append("set tokenizer.byte_fallback=true")
    return "".join(f"; {remedy}" for remedy in remedies)
