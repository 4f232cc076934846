"""Pictures of a comparison: BLEU by the length of the source, and maps of attention."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.metrics.lengths import Bucket

DOTS_PER_INCH = 150
# Okabe and Ito's palette, safe for colour-blind readers; marks and dashes differ too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.", (0, (8, 1.5, 1, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Curve:
    """The line of a system."""

    label: str
    bleu: Sequence[float]
    attends: bool
    """Systems with attention have filled marks, the others hollow ones."""


def draw_bleu_by_length(path: Path, title: str, buckets: Sequence[Bucket], curves: Sequence[Curve]) -> None:
    """Draw BLEU by the number of source words, one line per system, as PNG."""
    figure = Figure(figsize=(8.5, 4.8), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            range(len(buckets)),
            curve.bleu,
            label=curve.label,
            color=colour,
            linestyle=LINES[number % len(LINES)],
            linewidth=2,
            marker=MARKERS[number % len(MARKERS)],
            markersize=8,
            markerfacecolor=colour if curve.attends else "white",
        )
    axes.set_xticks(range(len(buckets)), [_bucket_label(bucket) for bucket in buckets])
    axes.set_xlabel("words of the source sentence (sentences of the test set)")
    axes.set_ylabel("BLEU")
    axes.grid(axis="y", color="0.88")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc="left", parse_math=False)
    # Beside the plot, in the order of the lines' right ends: inside, a legend would hide some.
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(curves)), key=lambda number: -curves[number].bleu[-1])
    figure.legend(
        [handles[n] for n in order],
        [labels[n] for n in order],
        loc="outside right center",
        frameon=False,
        handlelength=3.5,
    )
    _save(figure, path)


def _bucket_label(bucket: Bucket) -> str:
    span = str(bucket.first) if bucket.first == bucket.last else f"{bucket.first}–{bucket.last}"
    return f"{span}\n({bucket.sentences})"


def draw_attention(
    path: Path, title: str, source: Sequence[str], target: Sequence[str], weights: Sequence[Sequence[float]]
) -> None:
    """Draw attention weights (one row per target piece, one column per source piece) as a heat map, as PNG."""
    width, height = 1.9 + 0.3 * len(source), 1.6 + 0.3 * len(target)
    figure = Figure(figsize=(max(width, 4.5), height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    # White to dark blue: readable by lightness alone, also in print.
    image = axes.imshow(weights, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
    axes.set_xticks(range(len(source)), source, rotation=90, parse_math=False)
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("translation")
    axes.set_xticks([n - 0.5 for n in range(1, len(source))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(target))], minor=True)
    axes.grid(which="minor", color="0.92", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    figure.suptitle(title, parse_math=False)
    figure.colorbar(image, ax=axes, label="weight", shrink=min(1.0, 2.2 / (0.3 * len(target))), aspect=12)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with _missing_glyphs_are_boxes():
        figure.savefig(path, format="png", metadata={"Software": None})


@contextmanager
def _missing_glyphs_are_boxes() -> Iterator[None]:
    """Draw characters that matplotlib's own font lacks as boxes, without a warning for each."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield
