"""Texts by the names of their columns, nested ones too, and what is said where there is none."""

from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.rows.columns import ByLanguage, Column, Location, roots

HERE = Location("a.jsonl", "line", 3)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("de", {"de": "x"}),
        ("de", {"en": "y", "de": "x", "de.de": "z"}),
        ("a.de", {"a": {"de": "x"}}),
        ("a.de", {"a.de": "x"}),
        ("a.b.de", {"a": {"b": {"de": "x"}, "de": "y"}}),
        ("a.b.de", {"a": {"b.de": "x"}}),
    ],
)
def test_a_name_with_dots_is_a_field_in_a_field(name: str, row: dict[str, Any]) -> None:
    assert Column("--column", name).text(row, HERE) == "x"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"DE": "x"}, "a.jsonl line 3 has no column de; its columns are DE; did you mean DE?"),
        ({"t": {"de": "x"}}, "a.jsonl line 3 has no column de; its columns are t.de; did you mean t.de?"),
        ({"en": "x", "fr": "y"}, "its columns are en, fr; set corpus.source_column to one of them"),
        ({}, "a.jsonl line 3 has no column de; its columns are none; set"),
        ({"de": None}, "a.jsonl line 3 holds null, not text; correct it or name another column"),
        ({"de": 5}, r"a.jsonl line 3 holds 5 \(int\), not text"),
        ({"de": ["x" * 99]}, r"a.jsonl line 3 holds \['x{38} \(list\), not text"),
        ({"de": "\ud83d"}, "a.jsonl line 3 holds half of a surrogate pair, which is not a character; correct the row"),
        ({f"{n}\n{'x' * 99}": "" for n in range(50)}, "its columns are 0 x{38}, 1 x{38}, .*19 x{37}, and 30 more; set"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^corpus.source_column=de: [^\n]*{message}") as refused:
        Column("corpus.source_column", "de").text(row, HERE)
    assert "\n" not in str(refused.value)


def test_the_columns_of_a_table_that_hold_the_texts() -> None:
    names, nested = ["id", "t", "x.y"], ["id", "t.de", "t.en", "x.y"]

    def found(*wanted: str) -> list[str]:
        return roots([Column("--column", name) for name in wanted], names, nested, "a.parquet")

    assert found("t.de", "t.en") == ["t"]
    assert found("x.y", "id") == ["x.y", "id"]
    with pytest.raises(InputError, match=r"--column de: a.parquet has no column de; .*did you mean t.de\?"):
        found("de")


UNIT = {"translation": {"language": ["de", "en", "en", "fr"], "translation": ["Hund", "dog", "hound", None]}}
"""As `datasets` keeps TranslationVariableLanguages."""


def test_lists_of_languages_are_columns() -> None:
    def texts(name: str) -> list[str]:
        return Column("corpus.source_column", name).texts(UNIT, HERE)

    assert texts("translation.de") == ["Hund"]
    assert texts("translation.en") == ["dog", "hound"]
    assert texts("translation.it") == [], "a unit may lack a language"
    assert Column("--column", "translation.it").text(UNIT, HERE) == ""
    for name, message in (
        ("de", r"has no column de; its columns are translation.de, .*; did you mean translation.de\?"),
        ("translation.fr", "a.jsonl line 3 holds null, not text"),
    ):
        with pytest.raises(InputError, match=message):
            texts(name)
    with pytest.raises(InputError, match=r"--column translation.en: a.jsonl line 3 holds 2 texts, and one is trans"):
        Column("--column", "translation.en").text(UNIT, HERE)
    with pytest.raises(InputError, match=r"did you mean translation.de\?"):
        roots([Column("--column", "de")], ["translation"], ["translation.language", "translation.translation"], "x")


def test_a_list_of_texts_is_several_of_one_language() -> None:
    column = Column("corpus.target_column", "en")
    assert column.texts({"de": "Hund", "en": ["dog", "hound"]}, HERE) == ["dog", "hound"]
    with pytest.raises(InputError, match=r"holds 5 \(int\), not text"):
        column.texts({"en": ["dog", 5]}, HERE)


def test_regions_of_a_language() -> None:
    unit = ByLanguage.of(["de-DE", "pt_BR", "zh-Hans-CN"], ["Hund", "cão", "狗"])
    for name, found in (("de", "Hund"), ("PT-br", "cão"), ("pt", "cão"), ("zh-Hans", "狗"), ("zh-CN", "")):
        assert Column("--column", name).text(unit, HERE) == found, name
        assert Column("--column", name).is_in(unit) == bool(found)
