"""The scores of registered models in words: which of two is better, and the Markdown report."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.tables import NOTHING, SIGNIFICANT, markdown_table
from pipeline.metrics.faults import FAULTS, fault_cells
from pipeline.metrics.metrics import BLEU, METRICS, Metric, headline_metrics
from pipeline.store.store import Figures


def summary(system: Mapping[str, Any]) -> str:
    """Return a model's scores in one line.

    >>> summary({"scores": {"BLEU": {"score": 30.0, "low": 28.5, "high": 31.5, "p": None}}})
    'BLEU 30.00 (28.50-31.50)'
    """
    return ", ".join(
        f"{metric.title} {score['score']:.2f} ({score['low']:.2f}-{score['high']:.2f})"
        for metric, score in _scores(system)
    )


def _scores(system: Mapping[str, Any]) -> list[tuple[Metric, Mapping[str, Any]]]:
    scores = system["scores"]
    return [(metric, scores[metric.score_key]) for metric in METRICS.values() if metric.score_key in scores]


def difference(systems: Sequence[Mapping[str, Any]], metric: Metric) -> float:
    """Return how much the second system's score is above the first's."""
    first, second = (float(system["scores"][metric.score_key]["score"]) for system in systems)
    return second - first


def verdict(systems: Sequence[Mapping[str, Any]]) -> str:
    """Say which of two models is better, by how much BLEU, and whether that is beyond chance.

    >>> verdict([{"model": "models:/a/1", "scores": {"BLEU": {"score": 30.0, "p": None}}},
    ...          {"model": "models:/a/2", "scores": {"BLEU": {"score": 31.5, "p": 0.004}}}])
    'models:/a/2 is better than models:/a/1 by 1.50 BLEU, beyond chance (p = 0.004)'
    """
    first, second = systems
    gain, p = difference(systems, BLEU), second["scores"][BLEU.score_key]["p"]
    if gain == 0.0:
        return f"{second['model']} and {first['model']} have the same BLEU"
    better, worse = (second, first) if gain > 0 else (first, second)
    beyond = "beyond chance" if p < SIGNIFICANT else "which may be chance"
    return f"{better['model']} is better than {worse['model']} by {abs(gain):.2f} BLEU, {beyond} (p = {p:.3f})"


def score_report(figures: Figures) -> str:
    """Return the scores of one model, or the comparison of two, as Markdown."""
    systems, pairs = figures["systems"], figures["set"]
    compared = len(systems) > 1
    note = f"{_directions()}. Intervals and tests by bootstrap resampling"
    lines = [
        f"## {pairs['name']}: {pairs['pairs']:,} pairs",
        *([f"**{figures['verdict']}**"] if compared else []),
        markdown_table(["model", *_headings(compared)], [_row(system, compared) for system in systems]),
        note + (f"; * marks p < {SIGNIFICANT} against the first row." if compared else "."),
        markdown_table(["model", *FAULTS], [[str(system["model"]), *fault_cells(system)] for system in systems]),
        _length_table(systems),
        "\n".join(f"- {metric.title}: `{figures['signatures'][metric.score_key]}`" for metric in METRICS.values()),
        f"SHA-256 of the pairs: `{pairs['sha256']}`",
    ]
    return "\n\n".join(lines) + "\n"


def _headings(compared: bool) -> list[str]:
    beside = ["95 % interval", *(["p"] if compared else [])]
    return [heading for metric in METRICS.values() for heading in (metric.title, *beside)]


def _row(system: Mapping[str, Any], compared: bool) -> list[str]:
    cells = [str(system["model"])]
    for _, score in _scores(system):
        p = score["p"]
        cells.append(f"{score['score']:.2f}{'*' if p is not None and p < SIGNIFICANT else ''}")
        cells.append(f"{score['low']:.2f} – {score['high']:.2f}")
        if compared:
            cells.append(NOTHING if p is None else f"{p:.3f}")
    return cells


def _directions() -> str:
    """Say of every metric which way is better."""
    higher, lower = (
        [metric.title for metric in METRICS.values() if metric.higher_is_better is way] for way in (True, False)
    )
    return f"{_listed(higher)}: higher is better" + (f"; {_listed(lower)}: lower" if lower else "")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _length_table(systems: Sequence[Mapping[str, Any]]) -> str:
    metrics = headline_metrics()
    headings = [f"{metric.title} of {_short(system['model'])}" for system in systems for metric in metrics]
    rows = [
        [
            _span(bucket),
            f"{bucket['sentences']:,}",
            *(f"{system['lengths'][number][metric.score_key]:.2f}" for system in systems for metric in metrics),
        ]
        for number, bucket in enumerate(systems[0]["lengths"])
    ]
    return markdown_table(["words of the source", "sentences", *headings], rows)


def _span(bucket: Mapping[str, Any]) -> str:
    return str(bucket["first"]) if bucket["first"] == bucket["last"] else f"{bucket['first']} – {bucket['last']}"


def _short(uri: str) -> str:
    return uri.removeprefix("models:/")
