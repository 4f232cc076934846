"""The report of a cleaning: a page of Markdown with examples of every rule, and a picture of the lengths."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.cleaning.chunks import BIN, BINS, Dropped, Repaired
from pipeline.corpus.cleaning.cleaning import Tally
from pipeline.corpus.cleaning.rules import DESCRIPTIONS

REPORT, PICTURE = "cleaning.md", "lengths.png"
ENOUGH = 1_000
"""Pairs from which on their lengths are drawn: those of fewer show nothing but chance."""
SHOWN = 200
"""Characters of a side in an example."""
SIDES = ("source", "target")


def write_report(folder: Path, name: str, tally: Tally, rules: Sequence[str]) -> None:
    """Write cleaning.md into a folder, and lengths.png if there are pairs enough."""
    drawn = tally.read >= ENOUGH
    if drawn:
        draw_lengths(folder / PICTURE, tally)
    (folder / REPORT).write_text(report(name, tally, rules, drawn), "utf8", newline="\n")


def report(name: str, tally: Tally, rules: Sequence[str], drawn: bool = False) -> str:
    """Return the report as Markdown."""
    kept = int(tally.after[0].sum())
    lines = [
        f"# The training pairs of {table_text(name)}",
        "",
        f"{tally.read:,} pairs were read and {kept:,} kept ({kept / max(1, tally.read):.2%}); "
        f"{tally.blank:,} had an empty side.",
        "",
        "| rule | what it does | pairs | share |",
        "|---|---|--:|--:|",
        *(
            f"| {rule} | {DESCRIPTIONS[rule]} | {count:,} | {count / max(1, tally.read):.3%} |"
            for rule, count in ((rule, tally.counts[rule]) for rule in rules)
        ),
        "",
        "| characters of a sentence | source | target | source, kept | target, kept |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {title} | {_share(tally.before[0], level)} | {_share(tally.before[1], level)} "
            f"| {_share(tally.after[0], level)} | {_share(tally.after[1], level)} |"
            for title, level in (("median", 0.5), ("95 % are shorter than", 0.95), ("99 % are shorter than", 0.99))
        ),
        *(["", f"![Lengths before and after]({PICTURE})"] if drawn else []),
    ]
    for rule in rules:
        if samples := tally.samples(rule):
            lines += ["", f"## {rule}: {DESCRIPTIONS[rule]}", "", *_examples(samples)]
    return "\n".join(lines) + "\n"


def _examples(samples: Sequence[Dropped | Repaired]) -> list[str]:
    if samples[0].rule in REPAIRS:
        lines = ["| pair | before | after |", "|--:|---|---|"]
        for sample in samples:
            assert isinstance(sample, Repaired)
            side = int(sample.before[0] == sample.after[0])
            lines.append(
                f"| {sample.number:,} | {table_text(sample.before[side])} | {table_text(sample.after[side])} |"
            )
        return lines
    lines = ["| pair | source | target | why |", "|--:|---|---|---|"]
    for sample in samples:
        assert isinstance(sample, Dropped)
        cells = map(table_text, (*sample.pair, sample.why))
        lines.append(f"| {sample.number:,} | {' | '.join(cells)} |")
    return lines


def table_text(text: str) -> str:
    """Return text that no renderer takes for Markdown or HTML, and of which all characters are seen."""
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    escaped = re.sub(r"[\\`*_\[\]<>|&]", lambda found: f"&#{ord(found[0])};", short)
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else f"\\u{{{ord(character):x}}}"
        for character in escaped
    )


def _share(histogram: Sequence[int], level: float) -> str:
    """Return the length below which a share of the sentences is, as a bin's upper end."""
    total, seen = sum(map(int, histogram)), 0
    for number, count in enumerate(histogram):
        seen += int(count)
        if total and seen >= level * total:
            return f"{(number + 1) * BIN:,}" if number < BINS - 1 else f"over {(BINS - 1) * BIN:,}"
    return "-"


def draw_lengths(path: Path, tally: Tally) -> None:
    """Draw the histograms of the lengths of both sides before and after, as PNG."""
    from matplotlib.figure import Figure  # It takes a second to import, and most commands reuse a corpus.

    figure = Figure(figsize=(9.0, 3.6), dpi=120, layout="constrained")
    places = [(number + 0.5) * BIN for number in range(BINS)]
    last = max(number for number in range(BINS) if tally.before[:, number].any() or number == 0)
    for side, axes in enumerate(figure.subplots(1, 2, sharey=True)):
        axes.bar(places, tally.before[side], width=BIN, color="#D55E00", label="dropped")
        axes.bar(places, tally.after[side], width=BIN, color="#0072B2", label="kept")
        axes.set_xlim(0, (last + 1) * BIN)
        axes.set_yscale("log")
        axes.set_xlabel(f"characters of the {SIDES[side]}")
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
        if side == 0:
            axes.set_ylabel("pairs")
            axes.legend(frameon=False)
    figure.savefig(path, metadata={"Software": None})
