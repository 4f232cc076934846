"""BLEU as sums: the shares of all workers make the BLEU of the whole."""

import pytest
import sacrebleu

from pipeline.metrics.bleu_statistics import bleu_of_statistics, bleu_statistics

TRANSLATIONS = ["A man is walking in the park.", "Two dogs play", "The woman reads a book on a bench."]
REFERENCES = ["A man walks in the park.", "Two dogs are playing.", "A woman reads a book on the bench."]


def test_statistics_of_shares_add_up_to_the_bleu_of_the_whole() -> None:
    shares = [bleu_statistics(TRANSLATIONS[rank::2], REFERENCES[rank::2]) for rank in range(2)]
    total = [sum(numbers) for numbers in zip(*shares, strict=True)]
    assert bleu_of_statistics(total) == pytest.approx(sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score)


def test_a_share_may_be_empty() -> None:
    nothing, all_of_it = bleu_statistics([], []), bleu_statistics(TRANSLATIONS, REFERENCES)
    assert [a + b for a, b in zip(nothing, all_of_it, strict=True)] == all_of_it


def test_weak_translations_are_smoothed_as_in_every_other_score() -> None:
    weak, references = ["a dog", "the cat is here"], ["a man sleeps", "the bird is away today"]
    score = sacrebleu.corpus_bleu(weak, [references])
    assert score.score > 0
    assert 0 in score.counts
    assert bleu_of_statistics(bleu_statistics(weak, references)) == score.score
