"""Translations that repeat themselves are told from ones that are merely long, or whose source repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.captions import generate_pairs
from pipeline.metrics.faults import fault_cells, fault_figures, repeats


@pytest.mark.parametrize(
    ("source", "reference", "translation", "expected"),
    [
        ("Ein Mann im Park.", "A man in the park.", "a man in the park in the park in the park in the park", True),
        ("Ein Mann im Park.", "A man in the park.", "the the the the the the", True),
        ("Ein Mann im Park.", "A man in the park.", "the the the the the", False),
        ("Ein Mann im Park.", "A man in the park.", "a man in the park and a man in the park", False),
        ("Ha ha ha ha ha ha ha!", "Ha ha ha ha ha ha ha!", "Ha ha ha ha ha ha ha!", False),
        ("ha ha ha ha ha ha ha", "Laughter.", "ha ha ha ha ha ha ha", False),
        ("Gelächter.", "ha ha ha ha ha ha ha", "ha ha ha ha ha ha ha", False),
        ("Ein Mann.", "一个男人。", "一个男人一个男人一个男人一个男人", True),
        ("Ein Mann.", "一个男人。", "一个男人在公园里看书，旁边坐着一个女人。", False),
        ("Ein Mann.", "ชายคนหนึ่ง", "คนคนคนคนคนคนคนคน", True),
        ("", "", "", False),
        ("Ein Mann.", "", "a man", False),
    ],
)
def test_repeats(source: str, reference: str, translation: str, expected: bool) -> None:
    assert repeats(source, [reference], translation) is expected


def test_any_reference_excuses_a_repetition() -> None:
    song, plain = "la la la la la la", "He sings."
    assert repeats("Er singt.", [plain], song)
    assert not repeats("Er singt.", [plain, song], song)


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_no_reference_repeats(source: str, references: list[str]) -> None:
    assert not any(repeats(source, references, reference) for reference in references)


def test_sentences_as_people_write_them_do_not_repeat_even_without_references() -> None:
    pairs = list(generate_pairs(2000, seed=5))
    assert not any(repeats(source, [], target) for source, target in pairs)


def test_figures_are_counts_and_shares() -> None:
    sources, references = ["a", "b", "c"], [["x"], ["y"], ["z"]]
    figures = fault_figures(sources, references, ["x", "y " * 9, "z"], truncated=2)
    assert figures == {"repeating": 1, "repeating_percent": 33.3333, "truncated": 2, "truncated_percent": 66.6667}
    assert fault_cells(figures) == ["1 (33%)", "2 (67%)"]
    assert fault_cells(fault_figures(sources, references, ["x", "y", "z"], truncated=0)) == ["0", "0"]
    assert fault_cells(fault_figures(sources, references, ["x", "y", "z"], truncated=None)) == ["0", "—"]
