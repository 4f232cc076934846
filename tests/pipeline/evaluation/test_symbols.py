"""User symbols that translations lose."""

import pytest

from pipeline.evaluation.symbols import symbol_figures


@pytest.mark.parametrize(
    ("symbols", "source", "translation", "figures"),
    [
        (["<br>"], "a <br> b<br>", "a <br> b", (2, 1)),
        (["<br>"], "a", "a <br>", (0, 0)),
        (["{a}", "{{a}}"], "{{a}} {a}", "{a} {a}", (2, 1)),
        (["a.b", "(x)*"], "axb a.b (x)*", "axb", (2, 2)),
        (["{x}", "{y}"], "{x} {y}", "{y} {y} {x}", (2, 0)),
    ],
)
def test_each_is_counted_as_often_as_it_is_there(
    symbols: list[str], source: str, translation: str, figures: tuple[int, int]
) -> None:
    found = symbol_figures(symbols, [source, "none"], [translation, "none"])
    assert found == dict(zip(("user_symbols", "user_symbols_lost"), figures, strict=True))


def test_without_symbols_there_is_no_figure() -> None:
    assert symbol_figures([], ["<br>"], [""]) == {}
