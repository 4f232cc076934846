"""Intervals and significance by bootstrap resampling of the test set (Koehn 2004)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sacrebleu.significance import PairedTest, Result

from pipeline.metrics.metrics import Metric


@dataclass(frozen=True)
class Score:
    """A metric of one system, over the test set and over resampled ones."""

    score: float
    low: float
    high: float
    """The 95 % interval: the resamples' mean, and half the width that holds 95 % of them to each side; within the
    scores that there are."""
    p: float | None
    """Of the difference to the first system on the same resamples; None for the first itself."""


References = Sequence[Sequence[str | None]]
"""Sets of one reference for each sentence; in those after the first, None stands for a missing one."""


def bootstrap(
    systems: Sequence[Sequence[str]], references: References, samples: int, metrics: Iterable[Metric]
) -> list[dict[str, Score]]:
    """Return the scores of each system's translations by the metric's key, with intervals and paired tests.

    The seed is sacreBLEU's, so all systems and metrics are scored on the same resampled test sets;
    `bootstrap_signature` has it.
    """
    metrics = list(metrics)
    results = {metric.key: _paired_test(systems, references, samples, metric)[1] for metric in metrics}
    best = {metric.key: 100.0 if metric.higher_is_better else math.inf for metric in metrics}
    return [
        {key: _score(found[number], found[0], best[key]) for key, found in results.items()}
        for number in range(len(systems))
    ]


def _score(result: Result, first: Result, highest: float) -> Score:
    assert result.mean is not None
    assert result.ci is not None
    p = None if result.p_value is None else round(float(result.p_value), 4)
    if p is not None and abs(result.score - first.score) < 1e-9:
        p = 1.0  # sacreBLEU counts the samples that differ by more than the systems do, and here ties count too.
    # Of a handful of sentences, half the width may reach beyond.
    low, high = max(0.0, result.mean - result.ci), min(highest, result.mean + result.ci)
    return Score(round(float(result.score), 4), round(float(low), 4), round(float(high), 4), p)


def bootstrap_signature(metric: Metric, samples: int, references: References = (("a",),)) -> str:
    """Return the metric's signature with the numbers of references and of resampled test sets, and their seed."""
    # A signature knows its number of references only after a score; of few sentences, it is there at once.
    short = [("a", "a" if None not in texts else None) for texts in references]
    return _paired_test([["a", "a"]], short, samples, metric)[0]


def _paired_test(
    systems: Sequence[Sequence[str]], references: References, samples: int, metric: Metric
) -> tuple[str, list[Result]]:
    """Return the signature and each system's result. One metric per test: sacreBLEU's names of several may be equal."""
    named: list[tuple[str, Sequence[str]]] = [(str(number), system) for number, system in enumerate(systems)]
    test = PairedTest(named, {metric.key: metric.make()}, references, "bs", samples)  # type: ignore[arg-type]
    signatures, scores = test()
    ((name, signature),) = signatures.items()
    return str(signature), [result for result in scores[name] if isinstance(result, Result)]
