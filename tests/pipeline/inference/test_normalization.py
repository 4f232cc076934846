"""Rules: what a reader sees stays, and what no reader tells apart is one."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.inference.normalization import rules_of, unified
from pipeline.inference.subwords import Subwords

SEEN = [
    *("，！？（）", "…", "m²", "½ Liter ™", "Nº 5, 2ᵉ", "ﬁ Ⅳ ① ㎏ ℃", "ｶﾀｶﾅ ＡＢＣ～", "น้ำ ນ້ຳ", "paralŀel"),
    *("کتاب\u200cها", "ශ්\u200dරී", "👨\u200d👩\u200d👧", "☺\ufe0f", "神\ufa19", "ſ ß ẞ", "﷼ ﻻ"),
]


@pytest.mark.parametrize("text", SEEN)
def test_what_a_reader_sees_stays(text: str) -> None:
    assert [unified(text, rule) for rule in rules_of("faithful")] == [text, text]
    assert rules_of("nmt_nfkc") == ("nmt_nfkc", "nmt_nfkc")


def test_sentencepiece_alone_would_change_it() -> None:
    assert sum(unified(text, "nmt_nfkc") != text for text in SEEN) > 10


@pytest.mark.parametrize(
    ("source", "alike"),
    [
        ("Ein Hund l\u0061\u0308uft", "Ein Hund läuft"),
        ("Ein\u00a0Hund\u202fläuft\u3000schnell\u2009!", "Ein Hund läuft schnell !"),
        ("\ufeffDonau\u00addampf\u200bschiff", "Donaudampfschiff"),
        ("\u202bשלום\u202c\u200f", "שלום"),
        ("a\u0302\u0323 \u00e2\u0323 a\u0323\u0302", "ậ ậ ậ"),
        ("ä\rö\u0007\u0085ü\u2028", "ä ö ü "),
        ("\u1112\u1161\u11ab \ud558\u11ab", "한 한"),
    ],
)
def test_in_a_source_what_looks_alike_is_one_and_a_target_stays(source: str, alike: str) -> None:
    source_rule, target_rule = rules_of("faithful")
    assert unified(source, source_rule) == alike
    assert unified(source, target_rule) == source


LETTERS = st.characters(
    codec="utf-8", categories=["L", "Nd", "Po"], max_codepoint=0x2FFFF, exclude_characters="\u2581\u2585"
)


@settings(deadline=None)
@given(st.text(LETTERS, max_size=8), st.sampled_from(["NFC", "NFD"]))
def test_nfc_is_that_of_unicode(text: str, form: str) -> None:
    written = unicodedata.normalize("NFD" if form == "NFD" else "NFC", text)
    assert unified(written, "nfc") == unicodedata.normalize("NFC", text)


def test_offsets_are_those_of_the_sentence_as_it_was_written(subwords: Subwords) -> None:
    sentence = "\ufeffEin Hu\u00adnd la\u0308uft\u00a0im Park."
    assert subwords.encode_source([sentence]) == subwords.encode_source(["Ein Hund läuft im Park."])
    assert [subwords.source_words(sentence)[index] for index in (0, -1)] == ["\ufeffEin", "."]
    assert sentence[slice(*subwords.source_offsets(sentence)[-1])] == "."
