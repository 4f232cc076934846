"""What a corpus is made of, before anything is trained on it: sizes, characters, what the rules would drop, pieces."""

import random
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.tokenizer import Tokenizer, find_tokenizer, sample
from pipeline.config import RunConfig
from pipeline.corpus.cleaning.characters import units
from pipeline.corpus.cleaning.report import table_text
from pipeline.corpus.cleaning.rules import DESCRIPTIONS
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.corpus.pairs import Pair
from pipeline.corpus.scored import ScoredSet
from pipeline.corpus.splits import SPLITS
from pipeline.data_config import CorpusConfig
from pipeline.store.store import Store

SAMPLED = 50_000
"""Pairs whose characters and pieces are counted."""
SHOWN = 5
SIDES = ("source", "target")


@dataclass(frozen=True)
class Inspection:
    """What was found out of a corpus."""

    corpus: Corpus
    """As a training would have it."""
    strict: Corpus
    """With all rules."""
    sides: Mapping[str, Mapping[str, Any]]
    """Of the source and of the target, of up to SAMPLED pairs: `words` (median), `characters` (distinct ones),
    `scripts` (shares of letters), `rare` (the characters met least often), and with a tokenizer `pieces_per_word` and
    `unknown_percent`."""
    samples: Sequence[Mapping[str, Any]]
    """Pairs drawn by chance, with their pieces if there is a tokenizer."""
    tokenizer: Tokenizer | None

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        figures = self.strict.figures
        return {
            "pairs": self.corpus.figures["pairs"],
            "blank": self.corpus.figures["blank"],
            "languages": {"source": self.corpus.languages.source, "target": self.corpus.languages.target},
            "rules": dict(figures["cleaning"]["rules"]),
            "leaks": figures["leaks"],
            "sides": {side: dict(found) for side, found in self.sides.items()},
            "tokenizer": None if self.tokenizer is None else self.tokenizer.fingerprint,
            "samples": [dict(row) for row in self.samples],
        }

    def page(self, name: str) -> str:
        """Return it as a page of Markdown."""
        return "\n".join([f"# {table_text(name)}", "", *self._sizes(), *self._sides(), *self._rules(), *self._pairs()])

    def _sizes(self) -> Iterator[str]:
        figures = self.corpus.figures
        languages = str(self.corpus.languages) or "unknown"
        yield f"Languages: {languages}. Before any rule, and as a training would have it:"
        yield from ("", "| split | pairs | an empty side |", "|---|--:|--:|")
        read = {"train": self.strict.figures["cleaning"]["read"]}
        for split in SPLITS:
            before = f"{read[split]:,} → " if split in read and read[split] != figures["pairs"][split] else ""
            yield f"| {split} | {before}{figures['pairs'][split]:,} | {figures['blank'][split]:,} |"
        yield ""

    def _sides(self) -> Iterator[str]:
        yield from (f"Of up to {SAMPLED:,} training pairs:", "", "| | source | target |", "|---|---|---|")
        for title, key in ROWS:
            cells = [_told(self.sides[side].get(key)) for side in SIDES]
            if any(cells):
                yield f"| {title} | {cells[0]} | {cells[1]} |"
        if self.tokenizer is None:
            yield from (
                "",
                "There is no tokenizer for it yet: `nmt train` learns one, or name yours in `tokenizer.model`.",
            )
        yield ""

    def _rules(self) -> Iterator[str]:
        figures = self.strict.figures
        yield from ("What every rule would do to the training pairs, one after the other:", "")
        yield from ("| rule | what it does | pairs |", "|---|---|--:|")
        for rule, count in figures["cleaning"]["rules"].items():
            yield f"| {rule} | {DESCRIPTIONS[rule]} | {count:,} |"
        for scored, kinds in figures["leaks"].items():
            told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
            yield from ("", f"In train and in {table_text(scored)} as well: {told}.")
        yield ""

    def _pairs(self) -> Iterator[str]:
        yield from ("Pairs drawn by chance:", "")
        for row in self.samples:
            told = [table_text(row[side]) for side in SIDES]
            told += [
                f"`{' '.join(pieces).replace('`', ' ')}`" for side in SIDES if (pieces := row.get(f"{side}_pieces"))
            ]
            yield "- " + "  \n  ".join(told)  # Two blanks end a line in Markdown.


ROWS = (
    ("words of a sentence, median", "words"),
    ("different characters", "characters"),
    ("scripts", "scripts"),
    ("rarest characters", "rare"),
    ("pieces of a word", "pieces_per_word"),
    ("unknown pieces, %", "unknown_percent"),
)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{table_text(name)} {share:.1%}" for name, share in value.items())
    if isinstance(value, list):
        return ", ".join(f"{table_text(each)} (U+{ord(each):04X})" for each in value)
    return "" if value is None else f"{value:,}"


def inspect_corpus(config: RunConfig, store: Store, scored: Sequence[ScoredSet] = (), seed: int = 1) -> Inspection:
    """Look at the corpus of a configuration. It is read, or downloaded, into the store, as for a training.

    `scored` are further sets that models will be scored on; `seed` draws the pairs to show. Raises what
    `prepare_corpus` raises.
    """
    corpus = prepare_corpus(config.corpus, store, scored)
    with tempfile.TemporaryDirectory(prefix=".inspect-") as folder:
        strict = prepare_corpus(_with_all_rules(config.corpus), Store(Path(folder)), scored)
    tokenizer = find_tokenizer(corpus, config.tokenizer, store)
    share = min(1.0, SAMPLED / max(1, corpus.figures["pairs"]["train"]))
    pairs = list(islice(sample(corpus.pairs("train"), share), SAMPLED))
    sides = {name: _side([pair[number] for pair in pairs]) for number, name in enumerate(SIDES)}
    if tokenizer is not None:
        for name, figures in _pieces(pairs, tokenizer).items():
            sides[name] |= figures
    chosen = random.Random(seed).sample(pairs, min(SHOWN, len(pairs)))  # noqa: S311 (to look at)
    return Inspection(corpus, strict, sides, [_shown(pair, tokenizer) for pair in chosen], tokenizer)


def _with_all_rules(config: CorpusConfig) -> CorpusConfig:
    everything = {"clean": "strict", "max_dropped": 1.0}
    sources = tuple(source.model_copy(update=everything) for source in config.sources)
    own = {"leaks": "remove", **({"sources": sources} if sources else everything)}
    return config.model_copy(update=own)


def _side(texts: Sequence[str]) -> dict[str, Any]:
    characters = Counter(character for text in texts for character in text)
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            scripts[unicodedata.name(character, "unknown").partition(" ")[0].capitalize()] += count
    words = sorted(len(units(text)) for text in texts)
    rarest = sorted(characters, key=lambda character: (characters[character], character))
    return {
        "words": words[len(words) // 2] if words else 0,
        "characters": len(characters),
        "scripts": {name: count / scripts.total() for name, count in scripts.most_common(4)},
        "rare": rarest[:8],
    }


def _pieces(pairs: Sequence[Pair], tokenizer: Tokenizer) -> dict[str, dict[str, float]]:
    subwords = tokenizer.load()
    found = {}
    for number, (name, encode) in enumerate(zip(SIDES, (subwords.encode_source, subwords.encode_target), strict=True)):
        texts = [pair[number] for pair in pairs]
        rows = encode(texts)
        tokens = sum(len(row) - 1 for row in rows)
        unknown = sum(row.count(SPECIAL_TOKENS.unknown) for row in rows)
        found[name] = {
            "pieces_per_word": round(tokens / max(1, sum(len(units(text)) for text in texts)), 2),
            "unknown_percent": round(100 * unknown / max(1, tokens), 3),
        }
    return found


def _shown(pair: Pair, tokenizer: Tokenizer | None) -> dict[str, Any]:
    row: dict[str, Any] = {"source": pair[0], "target": pair[1]}
    if tokenizer is not None:
        subwords = tokenizer.load()
        row["source_pieces"] = subwords.source_pieces(pair[0])[:-1]
        row["target_pieces"] = subwords.target_pieces(subwords.encode_target([pair[1]])[0][:-1])
    return row
