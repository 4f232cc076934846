"""BLEU as sums over shares of a corpus: each training worker counts its own translations.

Apart from the other metrics, so that a new one is no new code of the training.
"""

from collections.abc import Sequence

from sacrebleu.metrics.bleu import BLEU


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
    bleu = BLEU()
    score = BLEU.compute_bleu(
        [int(n) for n in counts],
        [int(n) for n in totals],
        int(lengths[0]),
        int(lengths[1]),
        smooth_method=bleu.smooth_method,  # By itself it smooths nothing: weak models would all have 0.
        effective_order=bleu.effective_order,
    )
    return float(score.score)
