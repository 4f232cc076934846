"""The figures of an ablation's systems: means over seeds, significance, and BLEU by the length of the source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from pipeline.ablation.systems import Row, Table
from pipeline.evaluation.evaluation import Evaluation
from pipeline.metrics.bootstrap import Score, bootstrap
from pipeline.metrics.lengths import Bucket, count_words
from pipeline.metrics.metrics import BLEU, Metric, headline_metrics
from pipeline.training.trained import TrainedModel

LONGEST_DRAWN = 25
"""Words of a sentence whose attention is drawn, at most: pictures of longer ones are unreadable."""


@dataclass(frozen=True)
class Outcome:
    """One training of a system, and its evaluation."""

    system: str
    seed: int
    trained: TrainedModel
    evaluation: Evaluation


@dataclass(frozen=True)
class Spread:
    """A figure over seeds; one seed has no deviation."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Measured:
    """A row of a table with its figures on the test set."""

    label: str
    system: str
    parameters: int
    perplexity: Spread
    bleu: Spread
    interval: tuple[float, float]
    """The 95 % bootstrap interval; over several seeds, the mean of their bounds."""
    difference: float | None
    """BLEU above the row that this one is tested against."""
    p: float | None
    """Of the paired test; over several seeds, the largest."""
    others: Mapping[str, Spread]
    """The other headline metrics by key."""
    epochs: Spread
    training_seconds: Spread
    target_tokens_per_second: Spread

    def figures(self) -> dict[str, Any]:
        """Return the figures by name, every metric by its key."""
        figures: dict[str, Any] = asdict(self)
        figures |= figures.pop("others")
        return figures


def spread(values: Sequence[float]) -> Spread:
    """Return the mean of values and, of two or more, their sample deviation.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951)
    """
    return Spread(mean(values), stdev(values) if len(values) > 1 else None)


def measure(table: Table, outcomes: Sequence[Outcome], samples: int, bleu: Metric) -> list[Measured]:
    """Return a table's rows with their figures.

    `samples` is the number of resampled test sets; `bleu` is that of the target's language.
    """
    by_label = {row.label: row for row in table.rows}
    return [_measure(row, by_label.get(row.against or ""), outcomes, samples, bleu) for row in table.rows]


def _measure(row: Row, against: Row | None, outcomes: Sequence[Outcome], samples: int, metric: Metric) -> Measured:
    own = of_system(row.system, outcomes)
    others = of_system(against.system, outcomes) if against else []
    tests = [
        _tested(outcome, others[number] if others else None, samples, metric) for number, outcome in enumerate(own)
    ]
    bleu = spread([_score(outcome, "bleu") for outcome in own])
    return Measured(
        label=row.label,
        system=row.system,
        parameters=own[0].trained.figures["parameters"],
        perplexity=spread([_score(outcome, "perplexity") for outcome in own]),
        bleu=bleu,
        interval=(mean(test.low for test in tests), mean(test.high for test in tests)),
        difference=bleu.mean - mean(_score(outcome, "bleu") for outcome in others) if others else None,
        p=max((test.p for test in tests if test.p is not None), default=None),
        others={other.key: spread([_score(outcome, other.key) for outcome in own]) for other in other_metrics()},
        epochs=spread([float(outcome.trained.figures["epochs"]) for outcome in own]),
        training_seconds=spread([outcome.trained.figures["training_seconds"] for outcome in own]),
        target_tokens_per_second=spread([outcome.trained.figures["target_tokens_per_second"] for outcome in own]),
    )


def _tested(outcome: Outcome, against: Outcome | None, samples: int, bleu: Metric) -> Score:
    translations, references = test_set(outcome)
    before = [test_set(against)[0]] if against else []
    return bootstrap([*before, translations], [references], samples, [bleu])[-1][bleu.key]


def other_metrics() -> list[Metric]:
    """Return the headline metrics that an ablation shows beside BLEU, which it tests."""
    return [metric for metric in headline_metrics() if metric.key != BLEU.key]


def of_system(system: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of a system in the order of their seeds."""
    return sorted((outcome for outcome in outcomes if outcome.system == system), key=lambda outcome: outcome.seed)


def test_set(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Return the translations of the test set and the references."""
    rows = list(outcome.evaluation.translations("test"))
    return [row["translation"] for row in rows], [row["reference"] for row in rows]


def _score(outcome: Outcome, name: str) -> float:
    return float(outcome.evaluation.figures["test"][name])


def bleu_by_length(system: str, outcomes: Sequence[Outcome], buckets: Sequence[Bucket], bleu: Metric) -> list[float]:
    """Return a system's BLEU on each bucket of source lengths, averaged over its seeds."""
    return [mean(scores) for scores in zip(*_bucket_scores(of_system(system, outcomes), buckets, bleu), strict=True)]


def _bucket_scores(outcomes: Sequence[Outcome], buckets: Sequence[Bucket], bleu: Metric) -> Iterator[list[float]]:
    for outcome in outcomes:
        rows = [(count_words(row["source"]), row) for row in outcome.evaluation.translations("test")]
        inside = [[row for length, row in rows if bucket.first <= length <= bucket.last] for bucket in buckets]
        yield [
            bleu.score([row["translation"] for row in share], [row["reference"] for row in share]) for share in inside
        ]


def choose_sentences(sentences: Sequence[str], number: int) -> list[int]:
    """Return the indices of `number` sentences from short to long (of one, the median), the same on every call.

    Leaves out the shortest and longest twentieth and those over 25 words; equal sentences count once.

    >>> choose_sentences(["a b c", "a", "a b", "a"], 2)
    [1, 0]
    """
    first = list({sentence: index for index, sentence in reversed(list(enumerate(sentences)))}.values())
    drawn = [index for index in first if count_words(sentences[index]) <= LONGEST_DRAWN] or first
    drawn.sort(key=lambda index: (count_words(sentences[index]), index))
    usual = drawn[len(drawn) // 20 : len(drawn) - len(drawn) // 20]
    if number == 1:
        return [usual[len(usual) // 2]]
    ranks = [round(step * (len(usual) - 1) / (number - 1)) for step in range(number)]
    return [usual[rank] for rank in dict.fromkeys(ranks)]
