"""The entries of `METRICS`: sacreBLEU's scores, and keys that MLflow takes."""

import pytest
import sacrebleu
from sacrebleu.metrics.chrf import CHRF

from pipeline.metrics.metrics import BLEU, METRICS, Metric, definitions, headline_scores

TRANSLATIONS = ["A man is walking in the park.", "Two dogs play", "The woman reads a book on a bench."]
REFERENCES = ["A man walks in the park.", "Two dogs are playing.", "A woman reads a book on the bench."]


def test_scores_are_sacrebleus_defaults() -> None:
    for key, function in (
        ("bleu", sacrebleu.corpus_bleu),
        ("chrf", sacrebleu.corpus_chrf),
        ("ter", sacrebleu.corpus_ter),
    ):
        expected = function(TRANSLATIONS, [REFERENCES]).score
        assert METRICS[key].score(TRANSLATIONS, REFERENCES) == pytest.approx(expected, abs=1e-4)
    assert BLEU.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_short_tables_show_the_headline_metrics() -> None:
    scores = headline_scores(TRANSLATIONS, REFERENCES, "13a")
    assert scores["bleu"] == BLEU.score(TRANSLATIONS, REFERENCES)
    assert scores.keys() == METRICS.keys() - {"ter", "chrfpp"}


def test_perfect_translations_have_the_best_score_of_every_metric() -> None:
    for metric in METRICS.values():
        perfect, other = metric.score(REFERENCES, REFERENCES), metric.score(TRANSLATIONS, REFERENCES)
        assert (perfect > other) is metric.higher_is_better


def test_a_title_that_mlflow_would_refuse_is_in_no_key() -> None:
    assert {METRICS[key].score_key for key in ("bleu", "chrf", "ter")} == {"BLEU", "chrF", "TER"}, "MLflow has them"
    assert Metric("chrfpp", "chrF++", lambda: CHRF(word_order=2)).score_key == "chrfpp"
    with pytest.raises(AssertionError, match=r"'chrF\+\+' is no key"):
        Metric("chrF++", "chrF++", CHRF)


def test_other_options_are_another_metric_and_another_sacrebleu_is_not() -> None:
    plain, words = Metric("chrf", "chrF", CHRF), Metric("chrf", "chrF", lambda: CHRF(word_order=2))
    assert definitions([plain]) == {"chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no"}
    assert definitions([plain]) != definitions([words])
