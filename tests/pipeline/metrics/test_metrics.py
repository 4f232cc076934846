import pytest
import sacrebleu

from pipeline.metrics.metrics import (
    Score,
    bleu_of_statistics,
    bleu_statistics,
    bootstrap,
    bootstrap_signatures,
    corpus_bleu,
    corpus_chrf,
    signatures,
)

TRANSLATIONS = ["A man is walking in the park.", "Two dogs play", "The woman reads a book on a bench."]
REFERENCES = ["A man walks in the park.", "Two dogs are playing.", "A woman reads a book on the bench."]
MANY = [f"a {adjective} {noun} {verb} in the park ." for adjective in ("big", "small", "red", "old", "tired")
        for noun in ("dog", "cat", "man", "child") for verb in ("runs", "sleeps", "sits")]  # fmt: skip


def bleu(translations: list[str], references: list[str], against: list[str] | None = None) -> Score:
    systems = [translations] if against is None else [against, translations]
    return bootstrap(systems, references, 200)[-1]["BLEU"]


def worse(share: int) -> list[str]:
    """Return the sentences with every `share`-th one cut short and turned round."""
    return [" ".join(reversed(line.split()[:-2])) if n % share == 0 else line for n, line in enumerate(MANY)]


def test_scores_are_sacrebleus_defaults() -> None:
    expected = sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score
    assert corpus_bleu(TRANSLATIONS, REFERENCES) == pytest.approx(expected, abs=1e-4)
    assert corpus_chrf(TRANSLATIONS, REFERENCES) == pytest.approx(
        sacrebleu.corpus_chrf(TRANSLATIONS, [REFERENCES]).score, abs=1e-4
    )
    assert signatures()["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_statistics_of_shares_add_up_to_the_bleu_of_the_whole() -> None:
    shares = [bleu_statistics(TRANSLATIONS[rank::2], REFERENCES[rank::2]) for rank in range(2)]
    total = [sum(numbers) for numbers in zip(*shares, strict=True)]
    assert bleu_of_statistics(total) == pytest.approx(sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score)


def test_a_share_may_be_empty() -> None:
    nothing, all_of_it = bleu_statistics([], []), bleu_statistics(TRANSLATIONS, REFERENCES)
    assert [a + b for a, b in zip(nothing, all_of_it, strict=True)] == all_of_it


def test_the_interval_holds_the_score_and_narrows_with_the_test_set() -> None:
    short = bleu(worse(3)[:12], MANY[:12])
    long = bleu(worse(3), MANY)
    assert long.low < corpus_bleu(worse(3), MANY) < long.high
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


def test_the_signature_says_how_it_was_resampled() -> None:
    signatures = bootstrap_signatures(200, ("BLEU", "chrF", "TER"))
    assert all("|bs:200|seed:12345|" in signature for signature in signatures.values())


def test_all_metrics_at_once_are_sacrebleus() -> None:
    first, second = bootstrap([worse(2), worse(5)], MANY, 200, ("BLEU", "chrF", "TER"))
    expected = {
        "BLEU": sacrebleu.corpus_bleu(worse(5), [MANY]).score,
        "chrF": sacrebleu.corpus_chrf(worse(5), [MANY]).score,
        "TER": sacrebleu.corpus_ter(worse(5), [MANY]).score,
    }
    for metric, score in expected.items():
        assert second[metric].score == pytest.approx(score, abs=1e-4)
        assert second[metric].low < score < second[metric].high
        assert first[metric].p is None
        assert second[metric].p < 0.01  # type: ignore[operator]
