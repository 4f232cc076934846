"""Perplexity under teacher forcing."""

import math

import pytest

from pipeline.training.perplexity import perplexity


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices() -> None:
    assert perplexity(5 * math.log(8), 5) == pytest.approx(8)
    assert perplexity(1e9, 1) < math.inf
