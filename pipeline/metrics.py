"""BLEU and chrF on raw references, with intervals and significance: all that sacreBLEU does here."""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
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
class BootstrapBleu:
    """BLEU over resampled test sets."""

    low: float
    high: float
    """The 95 % interval: the resamples' mean, and half the width that holds 95 % of them to each side."""
    p: float | None
    """Of the difference to another system on the same resamples; None without another."""


def bootstrap_bleu(
    translations: Sequence[str], references: Sequence[str], samples: int, against: Sequence[str] | None = None
) -> BootstrapBleu:
    """Return BLEU's 95 % interval and, given another system's translations, the paired test's p (Koehn 2004).

    The seed is sacreBLEU's, so that all systems meet the same resampled test sets; `bootstrap_signature` has it.
    """
    result = _paired_test(translations, references, samples, against)[1][-1]
    assert result.mean is not None
    assert result.ci is not None
    p = None if result.p_value is None else round(float(result.p_value), 4)
    if against is not None and list(against) == list(translations):
        p = 1.0  # sacreBLEU counts the samples that differ by more than the systems do: of none, the smallest p.
    return BootstrapBleu(round(float(result.mean - result.ci), 4), round(float(result.mean + result.ci), 4), p)


def bootstrap_signature(samples: int) -> str:
    """Return the signature of `bootstrap_bleu`: BLEU's own with the number of samples and the seed."""
    return _paired_test(["a"], ["a"], samples, None)[0]


def _paired_test(
    translations: Sequence[str], references: Sequence[str], samples: int, against: Sequence[str] | None
) -> tuple[str, list[Result]]:
    systems = [] if against is None else [("against", against)]
    test = PairedTest([*systems, ("system", translations)], {"BLEU": BLEU()}, [references], "bs", samples)
    signatures, scores = test()
    return str(signatures["BLEU"]), [result for result in scores["BLEU"] if isinstance(result, Result)]
