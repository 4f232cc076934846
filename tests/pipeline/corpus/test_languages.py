"""Languages: as configured, by script, by column, by the name of the data."""

import pytest
from pydantic import ValidationError

from pipeline.corpus.languages import Languages, find_languages, language_of_column, language_of_text
from pipeline.data_config import CorpusConfig

LATIN = [("Ein Hund.", "A dog.")]


def languages(pairs: list[tuple[str, str]], **fields: str) -> Languages:
    return find_languages(CorpusConfig(**{"source_column": "source", "target_column": "target", **fields}), pairs)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("一只狗在 NBA 比赛里跑", "zh"),
        ("東京へ行く", "ja"),
        ("サッカー", "ja"),
        ("나는 학교에 간다", "ko"),
        ("สวัสดี", "th"),
        ("ສະບາຍດີ", "lo"),
        ("ជំរាបសួរ", "km"),
        ("မင်္ဂလာပါ", "my"),
        ("བཀྲ་ཤིས།", "bo"),
        ("Ein Hund heißt 犬", None),
        ("Привет", None),
        ("123 !", None),
    ],
)
def test_a_script_of_its_own_is_a_language(text: str, language: str | None) -> None:
    assert language_of_text([text]) == language


@pytest.mark.parametrize(
    ("column", "language"),
    [
        ("de", "de"),
        ("translation.de", "de"),
        ("pt_BR", "pt-BR"),
        ("zh-Hant", "zh-Hant"),
        ("sentence_eng_Latn", "eng-Latn"),
        ("text_EN", "en"),
        ("source", None),
        ("1", None),
        ("", None),
    ],
)
def test_columns_named_after_languages(column: str, language: str | None) -> None:
    assert language_of_column(column) == language


def test_what_is_configured_wins_then_the_script_then_the_column_then_the_name() -> None:
    chinese = [("A dog.", "一只狗。")]
    assert languages(chinese, target_language="yue").target == "yue"
    assert languages(chinese, target_column="en").target == "zh", "a column may be named wrongly"
    assert languages(LATIN, source_column="de", target_column="en", dataset="x/fr-it") == Languages("de", "en")
    assert languages(LATIN, dataset="wmt/wmt19", subset="fr-it") == Languages("fr", "it")
    assert languages(LATIN, dataset="bentrevett/multi30k-de-en") == Languages("de", "en")
    assert languages(LATIN, path="data/news.de-en.tsv") == Languages("de", "en")
    assert languages(LATIN, dataset="my-own/set") == Languages(), "no codes on both sides of the dash"
    assert languages([], dataset="x") == Languages()


def test_only_tags_of_bcp_47_are_taken() -> None:
    assert CorpusConfig(target_language="zh-Hant-TW").target_language == "zh-Hant-TW"
    for wrong in ("German", "de_DE", "", "jp", "cn-CN"):
        with pytest.raises(ValidationError, match="not the tag of a language; give one such as"):
            CorpusConfig(target_language=wrong)


def test_in_messages() -> None:
    assert [str(Languages("de", "en")), str(Languages(None, "en")), str(Languages())] == ["de → en", "? → en", ""]
