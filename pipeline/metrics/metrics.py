"""The metrics of translations, each one entry of `METRICS`."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sacrebleu.metrics import bleu, chrf, ter
from sacrebleu.metrics.base import Metric as SacreMetric

from pipeline.config import BleuTokenizer


@dataclass(frozen=True)
class Metric:
    """A metric of sacreBLEU's: detokenized translations against raw references."""

    key: str
    """In figures and MLflow, as in `final/test_bleu`: lower-case letters, digits and underscores."""
    title: str
    """In tables and reports."""
    make: Callable[[], SacreMetric]
    """Returns sacreBLEU's implementation with its options."""
    higher_is_better: bool = True
    headline: bool = True
    """Whether trainings, ablations and scores by length show it too; `nmt evaluate` shows every metric."""
    make_with: Callable[[BleuTokenizer], SacreMetric] | None = None
    """As `make`, for a language whose words BLEU finds by this tokenizer; None if that makes no difference."""

    def __post_init__(self) -> None:
        assert re.fullmatch("[a-z][a-z0-9_]*", self.key), f"{self.key!r} is no key: MLflow would refuse its scores"

    @property
    def score_key(self) -> str:
        """In the scores of registered models, as in `scores/BLEU`: the title, or `key` where MLflow refuses that."""
        return self.title if re.fullmatch(r"\w+", self.title) else self.key

    @property
    def signature(self) -> str:
        """What a reader needs to get the same score: case, tokenizer, smoothing, version of sacreBLEU."""
        metric = self.make()
        metric.corpus_score(["a"], [["a"]])  # A signature knows its number of references only after a score.
        return str(metric.get_signature())

    @property
    def definition(self) -> str:
        """The signature without sacreBLEU's version: it changes with the metric's options."""
        return "|".join(part for part in self.signature.split("|") if not part.startswith("version:"))

    def score(self, translations: Sequence[str], *references: Sequence[str | None]) -> float:
        """Return the score of a corpus, in percent, rounded as it is recorded.

        `references` are sets of one for each sentence; in those after the first, None stands for a missing one.
        """
        return round(self.exact_score(translations, *references), 4)

    def exact_score(self, translations: Sequence[str], *references: Sequence[str | None]) -> float:
        """Return the score of a corpus, in percent; `references` as for `score`."""
        # sacreBLEU takes None for a missing reference, but its annotations do not say so.
        return float(self.make().corpus_score(translations, references).score)  # type: ignore[arg-type]

    def with_tokenizer(self, tokenizer: BleuTokenizer) -> "Metric":
        """Return the metric for a language whose words BLEU finds by `tokenizer`."""
        return self if self.make_with is None else replace(self, make=partial(self.make_with, tokenizer))


def _ter(tokenizer: BleuTokenizer) -> SacreMetric:
    # By itself, it would take a Chinese or Japanese sentence for one word.
    asian = tokenizer in {"zh", "ja-mecab"}
    return ter.TER(normalized=asian, asian_support=asian)


BLEU = Metric("bleu", "BLEU", bleu.BLEU, make_with=lambda tokenizer: bleu.BLEU(tokenize=tokenizer))
"""The one that decides: the best checkpoint, the champion, the verdict of a comparison."""
METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        BLEU,
        Metric("chrf", "chrF", chrf.CHRF),
        Metric("chrfpp", "chrF++", partial(chrf.CHRF, word_order=2), headline=False),
        Metric("ter", "TER", ter.TER, higher_is_better=False, headline=False, make_with=_ter),
    )
}
"""All metrics by key, in the order of the tables. A new one is an entry here, and nothing else."""


def metric_titled(title: str) -> Metric:
    """Return the metric of a title, in upper or lower case.

    >>> metric_titled("chrf++").key
    'chrfpp'
    """
    return next(metric for metric in METRICS.values() if metric.title.lower() == title.lower())


def metrics_with(tokenizer: BleuTokenizer) -> list[Metric]:
    """Return all metrics, for a language whose words BLEU finds by `tokenizer`."""
    return [metric.with_tokenizer(tokenizer) for metric in METRICS.values()]


def headline_metrics(tokenizer: BleuTokenizer = "13a") -> list[Metric]:
    """Return the metrics that trainings, ablations and scores by length show; whoever scores names the tokenizer."""
    return [metric for metric in metrics_with(tokenizer) if metric.headline]


def headline_scores(
    translations: Sequence[str], references: Sequence[str], tokenizer: BleuTokenizer
) -> dict[str, float]:
    """Return the scores of a corpus by the headline metrics' keys."""
    return {metric.key: metric.score(translations, references) for metric in headline_metrics(tokenizer)}


def definitions(metrics: Iterable[Metric]) -> dict[str, str]:
    """Return the metrics as settings of a stage: output without a new metric, or with other options, is not reused."""
    return {metric.key: metric.definition for metric in metrics}
