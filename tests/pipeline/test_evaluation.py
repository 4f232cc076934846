import pytest
import sacrebleu

from pipeline.evaluation import bleu_of_statistics, bleu_statistics, corpus_bleu, perplexity, signatures

TRANSLATIONS = ["A man is walking in the park.", "Two dogs play", "The woman reads a book on a bench."]
REFERENCES = ["A man walks in the park.", "Two dogs are playing.", "A woman reads a book on the bench."]


def test_bleu_is_sacrebleus_default() -> None:
    expected = sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score
    assert corpus_bleu(TRANSLATIONS, REFERENCES) == pytest.approx(expected, abs=1e-4)
    assert signatures()["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_statistics_of_shares_add_up_to_the_bleu_of_the_whole() -> None:
    shares = [bleu_statistics(TRANSLATIONS[rank::2], REFERENCES[rank::2]) for rank in range(2)]
    total = [sum(numbers) for numbers in zip(*shares, strict=True)]
    assert bleu_of_statistics(total) == pytest.approx(sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score)


def test_a_share_may_be_empty() -> None:
    nothing, all_of_it = bleu_statistics([], []), bleu_statistics(TRANSLATIONS, REFERENCES)
    assert [a + b for a, b in zip(nothing, all_of_it, strict=True)] == all_of_it


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices() -> None:
    import math

    assert perplexity(5 * math.log(8), 5) == pytest.approx(8)
    assert perplexity(1e9, 1) < math.inf
