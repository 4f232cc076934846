"""Markdown tables that are also readable as plain text, and the report of a training."""

from collections.abc import Mapping, Sequence

from pipeline.evaluation.evaluation import SCORED_SPLITS
from pipeline.metrics.faults import FAULTS, fault_cells
from pipeline.metrics.metrics import headline_metrics
from pipeline.store.store import Figures

SIGNIFICANT = 0.05
NOTHING = "—"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns: the first is left-aligned, the others, numbers, right-aligned.

    >>> print(markdown_table(["system", "BLEU"], [["base", "9.50"], ["+ attention", "38.00"]]))
    | system      |  BLEU |
    |:------------|------:|
    | base        |  9.50 |
    | + attention | 38.00 |
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = "|".join([":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])])
    lines = []
    for cells in (headings, *rows):
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def score_table(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table of an evaluation's figures, a row per split."""
    metrics = headline_metrics()
    rows = [
        [
            split,
            f"{figures[split]['sentences']:,}",
            *(f"{figures[split][key]:.2f}" for key in (*(metric.key for metric in metrics), "perplexity")),
            *fault_cells(figures[split]),
        ]
        for split in SCORED_SPLITS
    ]
    return ["split", "sentences", *(metric.title for metric in metrics), "perplexity", *FAULTS], rows


def run_report(figures: Figures, samples: Sequence[Mapping[str, str]], model: str, decision: str) -> str:
    """Return the outcome of a training as Markdown: its model, the scores of an evaluation's figures, translations."""
    scores = markdown_table(*score_table(figures))
    signed = "\n".join(f"- {metric.title}: `{figures['signatures'][metric.key]}`" for metric in headline_metrics())
    # As code: sentences may contain Markdown.
    shown = "\n\n".join(
        "\n".join(f"    {key:<12} {sample[key]}" for key in ("source", "translation", "reference"))
        for sample in samples
    )
    return f"`{model}`: {decision}\n\n{scores}\n\n{signed}\n\nOf the test set:\n\n{shown}\n"
