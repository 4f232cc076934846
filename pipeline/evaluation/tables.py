"""Markdown tables that are also readable as plain text, and the report of a training."""

from collections.abc import Mapping, Sequence

from pipeline.evaluation.scored_sets import COPY, SCORED_SPLITS, set_names
from pipeline.metrics.faults import FAULTS, fault_cells
from pipeline.metrics.metrics import BLEU, headline_metrics
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
    """Return the headings and rows of a table of an evaluation's figures: a row for each set, and each source's share.

    Copies with other sources are in the table of `robustness_table`.
    """
    metrics = headline_metrics()
    names = [name for name in set_names(figures) if COPY not in name]
    rows = [
        [
            name,
            f"{figures[name]['sentences']:,}",
            *(f"{figures[name][key]:.2f}" for key in (*(metric.key for metric in metrics), "perplexity")),
            *fault_cells(figures[name]),
        ]
        for name in names
    ]
    first = "split" if names == [*SCORED_SPLITS] else "set"
    return [first, "sentences", *(metric.title for metric in metrics), "perplexity", *FAULTS], rows


def robustness_table(figures: Figures) -> tuple[list[str], list[list[str]]] | None:
    """Return the headings and rows of a table of BLEU on every test set and on its copies; None if there are none.

    >>> robustness_table({"test": {"bleu": 40.0}, "test+typos": {"bleu": 31.5}, "signatures": {}})
    (['BLEU with sources', 'test'], [['as they are', '40.00'], ['typos', '31.50 (-8.50)']])
    """
    names = set_names(figures)
    kinds = list(dict.fromkeys(name.partition(COPY)[2] for name in names if COPY in name))
    if not kinds:
        return None
    sets = [name for name in names if f"{name}{COPY}{kinds[0]}" in figures]
    rows = [["as they are", *(f"{figures[name][BLEU.key]:.2f}" for name in sets)]]
    for kind in kinds:
        scores = [(figures[f"{name}{COPY}{kind}"][BLEU.key], figures[name][BLEU.key]) for name in sets]
        rows.append([kind.replace("_", " "), *(f"{score:.2f} ({score - usual:+.2f})" for score, usual in scores)])
    return ["BLEU with sources", *sets], rows


def run_report(figures: Figures, samples: Sequence[Mapping[str, str]], model: str, decision: str) -> str:
    """Return the outcome of a training as Markdown: its model, the scores of an evaluation's figures, translations."""
    tables = [markdown_table(*table) for table in (score_table(figures), robustness_table(figures)) if table]
    scores = "\n\n".join(tables)
    signed = "\n".join(f"- {metric.title}: `{figures['signatures'][metric.key]}`" for metric in headline_metrics())
    # As code: sentences may contain Markdown.
    shown = "\n\n".join(
        "\n".join(f"    {key:<12} {sample[key]}" for key in ("source", "translation", "reference"))
        for sample in samples
    )
    return f"`{model}`: {decision}\n\n{scores}\n\n{signed}\n\nOf the test set:\n\n{shown}\n"
