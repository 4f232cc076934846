import pytest
import sacrebleu

from pipeline.metrics import (
    bleu_of_statistics,
    bleu_statistics,
    bootstrap_bleu,
    bootstrap_signature,
    corpus_bleu,
    corpus_chrf,
    signatures,
)

TRANSLATIONS = ["A man is walking in the park.", "Two dogs play", "The woman reads a book on a bench."]
REFERENCES = ["A man walks in the park.", "Two dogs are playing.", "A woman reads a book on the bench."]
MANY = [f"a {adjective} {noun} {verb} in the park ." for adjective in ("big", "small", "red", "old", "tired")
        for noun in ("dog", "cat", "man", "child") for verb in ("runs", "sleeps", "sits")]  # fmt: skip


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
    short = bootstrap_bleu(worse(3)[:12], MANY[:12], 200)
    long = bootstrap_bleu(worse(3), MANY, 200)
    assert long.low < corpus_bleu(worse(3), MANY) < long.high
    assert long.high - long.low < short.high - short.low
    assert long.p is None, "compared with nothing"


def test_the_interval_is_the_same_alone_and_compared() -> None:
    alone, compared = bootstrap_bleu(worse(3), MANY, 200), bootstrap_bleu(worse(3), MANY, 200, against=MANY)
    assert (compared.low, compared.high) == (alone.low, alone.high)


def test_the_same_translations_do_not_differ_significantly() -> None:
    p = bootstrap_bleu(worse(3), MANY, 200, against=worse(3)).p
    assert p is not None
    assert p > 0.5


@pytest.mark.parametrize(("system", "against"), [(5, 2), (2, 5)])
def test_what_is_clearly_better_or_worse_is_significant(system: int, against: int) -> None:
    p = bootstrap_bleu(worse(system), MANY, 200, against=worse(against)).p
    assert p is not None
    assert p < 0.01


def test_the_signature_says_how_it_was_resampled() -> None:
    assert "|bs:200|seed:12345|" in bootstrap_signature(200)
