"""BLEU, chrF and TER on raw references, with intervals and significance: all that sacreBLEU does here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result


def bleu_statistics(translations: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return what BLEU is made of, as numbers that can be added over shares of a corpus.

    Matched n-grams (4), n-grams (4), the length of the translations and of the references.
    """
    if not translations:  # A worker may have no share of a small set; sacreBLEU wants at least one sentence.
        return [0.0] * 10
    score = BLEU().corpus_score(translations, [references])
    return [*score.counts, *score.totals, score.sys_len, score.ref_len]


def bleu_of_statistics(statistics: Sequence[float]) -> float:
    """Return sacreBLEU's default BLEU, in [0, 100], of (a sum of) `bleu_statistics`."""
    counts, totals, lengths = statistics[:4], statistics[4:8], statistics[8:]
    score = BLEU.compute_bleu([int(n) for n in counts], [int(n) for n in totals], int(lengths[0]), int(lengths[1]))
    return float(score.score)


def corpus_bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return sacreBLEU's default BLEU, in [0, 100], rounded as it is recorded."""
    return round(float(BLEU().corpus_score(translations, [references]).score), 4)


def corpus_chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return sacreBLEU's default chrF, in [0, 100], rounded as it is recorded."""
    return round(float(CHRF().corpus_score(translations, [references]).score), 4)


def signatures() -> dict[str, str]:
    """Return sacreBLEU's signatures: which case, tokenizer, smoothing and version the scores are of."""
    bleu, chrf = BLEU(), CHRF()
    for metric in (bleu, chrf):
        metric.corpus_score(["a"], [["a"]])  # A signature knows its number of references only after a score.
    return {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}


@dataclass(frozen=True)
class Score:
    """A metric of one system, over the test set and over resampled ones."""

    score: float
    low: float
    high: float
    """The 95 % interval: the resamples' mean, and half the width that holds 95 % of them to each side."""
    p: float | None
    """Of the difference to the first system on the same resamples; None for the first itself."""


HIGHER_IS_BETTER = {"BLEU": True, "chrF": True, "TER": False}
"""Every metric that `bootstrap` knows, and which way it goes."""


def bootstrap(
    systems: Sequence[Sequence[str]], references: Sequence[str], samples: int, metrics: Sequence[str] = ("BLEU",)
) -> list[dict[str, Score]]:
    """Return the scores of each system's translations by metric, with intervals and paired tests (Koehn 2004).

    The seed is sacreBLEU's, so that all systems meet the same resampled test sets; `bootstrap_signatures` has it.
    """
    results = _paired_test(systems, references, samples, metrics)[1]
    return [
        {metric: _score(results[metric][place], list(system) == list(systems[0])) for metric in metrics}
        for place, system in enumerate(systems)
    ]


def _score(result: Result, same_as_first: bool) -> Score:
    assert result.mean is not None
    assert result.ci is not None
    p = None if result.p_value is None else round(float(result.p_value), 4)
    if p is not None and same_as_first:
        p = 1.0  # sacreBLEU counts the samples that differ by more than the systems do: of none, the smallest p.
    low, high = result.mean - result.ci, result.mean + result.ci
    return Score(round(float(result.score), 4), round(float(low), 4), round(float(high), 4), p)


def bootstrap_signatures(samples: int, metrics: Sequence[str] = ("BLEU",)) -> dict[str, str]:
    """Return the signatures of `bootstrap` by metric: the metric's own with the number of samples and the seed."""
    return _paired_test([["a"]], ["a"], samples, metrics)[0]


def _paired_test(
    systems: Sequence[Sequence[str]], references: Sequence[str], samples: int, metrics: Sequence[str]
) -> tuple[dict[str, str], dict[str, list[Result]]]:
    known: Mapping[str, Metric] = {"BLEU": BLEU(), "chrF": CHRF(), "TER": TER()}
    named: list[tuple[str, Sequence[str]]] = [(str(number), system) for number, system in enumerate(systems)]
    test = PairedTest(named, {metric: known[metric] for metric in metrics}, [references], "bs", samples)
    signatures, scores = test()
    # sacreBLEU has names of its own for what it finds, in the same order.
    own = dict(zip(metrics, (name for name in scores if name != "System"), strict=True))
    results = {metric: [found for found in scores[own[metric]] if isinstance(found, Result)] for metric in metrics}
    return {metric: str(signatures[own[metric]]) for metric in metrics}, results
