"""Intervals and significance: wider where there is less to go by, and blind to what is no difference."""

from typing import Any, cast

import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU as SACREBLEU

from pipeline.metrics.bootstrap import References, Score, bootstrap, bootstrap_signature
from pipeline.metrics.metrics import BLEU, METRICS, Metric

MANY = [f"a {adjective} {noun} {verb} in the park ." for adjective in ("big", "small", "red", "old", "tired")
        for noun in ("dog", "cat", "man", "child") for verb in ("runs", "sleeps", "sits")]  # fmt: skip


def bleu(translations: list[str], references: list[str], against: list[str] | None = None) -> Score:
    systems = [translations] if against is None else [against, translations]
    return bootstrap(systems, [references], 200, [BLEU])[-1]["bleu"]


def worse(share: int) -> list[str]:
    """Return the sentences with every `share`-th one cut short and turned round."""
    return [" ".join(reversed(line.split()[:-2])) if n % share == 0 else line for n, line in enumerate(MANY)]


def test_the_interval_holds_the_score_and_narrows_with_the_test_set() -> None:
    short = bleu(worse(3)[:12], MANY[:12])
    long = bleu(worse(3), MANY)
    assert long.low < BLEU.score(worse(3), MANY) < long.high
    assert long.high - long.low < short.high - short.low
    assert long.p is None, "compared with nothing"


def test_the_interval_is_the_same_alone_and_compared() -> None:
    alone, compared = bleu(worse(3), MANY), bleu(worse(3), MANY, against=MANY)
    assert (compared.low, compared.high) == (alone.low, alone.high)


def test_the_same_translations_do_not_differ_significantly() -> None:
    p = bleu(worse(3), MANY, against=worse(3)).p
    assert p is not None
    assert p > 0.5


@pytest.mark.parametrize(("system", "against"), [(5, 2), (2, 5)])
def test_what_is_clearly_better_or_worse_is_significant(system: int, against: int) -> None:
    p = bleu(worse(system), MANY, against=worse(against)).p
    assert p is not None
    assert p < 0.01


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_signature_says_how_it_was_resampled(metric: Metric) -> None:
    assert "|bs:200|seed:12345|" in bootstrap_signature(metric, 200)


def test_all_metrics_at_once_are_sacrebleus() -> None:
    first, second = bootstrap([worse(2), worse(5)], [MANY], 200, METRICS.values())
    expected = {
        "bleu": sacrebleu.corpus_bleu(worse(5), [MANY]).score,
        "chrf": sacrebleu.corpus_chrf(worse(5), [MANY]).score,
        "ter": sacrebleu.corpus_ter(worse(5), [MANY]).score,
    }
    for key, score in expected.items():
        assert second[key].score == pytest.approx(score, abs=1e-4)
        assert second[key].low < score < second[key].high
        assert first[key].p is None
        assert second[key].p < 0.01  # type: ignore[operator]


def test_two_metrics_that_sacrebleu_calls_by_one_name_are_kept_apart() -> None:
    lower = Metric("bleu_lower", "lower-case BLEU", lambda: SACREBLEU(lowercase=True))
    (found,) = bootstrap([[line.upper() for line in MANY]], [MANY], 100, [BLEU, lower])
    assert found["bleu_lower"].score > found["bleu"].score


def test_equal_scores_of_different_texts_are_no_difference() -> None:
    """BLEU does not see the blanks: in every resample both have the same score."""
    blanks = [line.replace(" ", "  ") for line in worse(3)]
    _, second = bootstrap([worse(3), blanks], [MANY], 200, [BLEU])
    assert second["bleu"].p == 1.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_several_references_are_sacrebleus(metric: Metric) -> None:
    further: list[str | None] = [line.replace("park", "garden") for line in MANY]
    system = [line if n % 2 else line.replace("park", "garden") for n, line in enumerate(worse(3))]
    cases: list[tuple[References, str]] = [([MANY, further], "2"), ([MANY, further, [None, *further[1:]]], "var")]
    for references, number in cases:
        ((found,),) = (scores.values() for scores in bootstrap([system], references, 100, [metric]))
        implementation = metric.make()
        assert found.score == pytest.approx(implementation.corpus_score(system, cast(Any, references)).score, abs=1e-4)
        assert found.score == metric.score(system, *references)
        assert found.low <= found.score <= found.high
        signature = bootstrap_signature(metric, 100, references)
        assert signature.startswith(f"nrefs:{number}|")
        assert str(implementation.get_signature()).split("|")[1:] == [
            part for part in signature.split("|")[1:] if not part.startswith(("bs:", "seed:"))
        ]
    one, two = metric.score(system, MANY), metric.score(system, MANY, further)
    assert (two > one) is metric.higher_is_better, "half of the sentences follow the other reference"


def test_a_comparison_uses_all_references() -> None:
    further = [line.replace("park", "garden") for line in MANY]
    first, second = bootstrap([worse(3), further], [MANY, further], 100, [BLEU])
    assert second["bleu"].score == pytest.approx(100)
    assert second["bleu"].p is not None
    assert second["bleu"].p < 0.05
    assert first["bleu"].score < 100


def test_an_interval_stays_within_the_scores_that_there_are() -> None:
    """Of three sentences, one of them without a translation, half the width reaches beyond both ends."""
    ((scores),) = bootstrap([["", *MANY[1:3]]], [MANY[:3]], 100, METRICS.values())
    for key, metric in METRICS.items():
        found = scores[key]
        assert 0.0 <= found.low <= found.score <= found.high
        assert found.high <= 100.0 or not metric.higher_is_better
