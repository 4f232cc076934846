"""Each rule on pairs that it is for, and on pairs that look like them."""

import pytest

from pipeline.corpus.cleaning.characters import REPAIRS, comparable, letters, units
from pipeline.corpus.cleaning.language import WrongLanguage, known_language
from pipeline.corpus.cleaning.pair_rules import PAIR_RULES, language_rule
from pipeline.corpus.cleaning.rules import DESCRIPTIONS, LEAK, MILD, STRICT, rules_of


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("mojibake", "FrÃ¼hstÃ¼ck im CafÃ©", "Frühstück im Café"),
        ("mojibake", "Ärger über Öl – „ja“", "Ärger über Öl – „ja“"),
        ("controls", "a\u200bb\ufeff\u00ad c\x07", "ab c"),
        ("controls", "a\u2028b\x0bc\x85d", "a b c d"),
        ("controls", "می\u200cخواهم \u200fabc\u200e 👩\u200d🔬", "می\u200cخواهم \u200fabc\u200e 👩\u200d🔬"),
        ("controls", "ខ្ញុំ\u200bស្រឡាញ់", "ខ្ញុំ\u200bស្រឡាញ់"),
        ("nfc", "u\u0308ber", "über"),
        ("nfkc", "ﬁne １２", "fine 12"),
    ],
)
def test_repairs(rule: str, before: str, after: str) -> None:
    assert REPAIRS[rule][0](before) == after
    assert REPAIRS[rule][0](after) == after


@pytest.mark.parametrize(
    ("rule", "pair", "why"),
    [
        ("long", ("x" * 3_001, "y"), "3,001 characters"),
        ("long", ("x" * 3_000, "y"), None),
        ("copy", ("Please click here now", "please click here, now!"), "the target is the source"),
        ("copy", ("Berlin", "Berlin"), None),
        ("copy", ("Ein Hund bellt laut", "A dog barks loudly"), None),
        ("letters", ("12 | 13 | 14 | 15", "12 | 13 | 14 | 15"), "0% and 0% letters"),
        ("letters", ("Ein Hund rennt durch", "1234567890 12345 abc"), "100% and 17% letters"),
        ("letters", ("?!", "!!"), None),
        ("letters", ("Ein Hund rennt", "कुत्ता दौड़ता है"), None),
        ("addresses", ("Siehe www.example.org/a.", "See there"), "www.example.org/a is on one side only"),
        ("addresses", ("Siehe https://example.org.", "See https://example.org, please"), None),
        ("addresses", ("Mail an a.b@example.org", "Mail to A.B@example.org"), None),
        ("numbers", ("Es waren 1.500 Leute", "There were 1,500 people"), None),
        ("numbers", ("Es waren 1 500 Leute", "There were 1500 people"), None),
        ("numbers", ("Es waren 1.500 Leute", "There were 1,600 people"), "1500 is on one side only"),
        ("numbers", ("Zwei Hunde", "2 dogs"), None),
        ("numbers", ("Es kostet 2.00 Euro", "It costs 2 euros"), None),
        ("numbers", ("٢٠٢٤ عام", "the year 2024"), None),
        ("numbers", ("Am 24.12.1999", "On 12/24/1999"), None),
    ],
)
def test_pair_rules(rule: str, pair: tuple[str, str], why: str | None) -> None:
    assert PAIR_RULES[rule][0](pair) == why


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two young men are standing outside near many bushes.", "en"),
        ("Les enfants jouent au ballon dans le jardin.", "fr"),
        ("Zwei junge weiße Männer sind im Freien.", None),
        ("Eine Broadway-Show beim Finale.", None),
        ("TWO YOUNG MEN ARE STANDING OUTSIDE", "en"),
        ("New York", None),
        ("123 456 - 789 ... 000 111", None),
    ],
)
def test_the_wrong_language_is_found_and_the_unsure_is_kept(text: str, found: str | None) -> None:
    assert WrongLanguage("de", "en").faults([text, text]) == [found, found]


def test_languages_that_nobody_can_tell_apart_are_not_told_apart() -> None:
    assert WrongLanguage("no", "en").faults(["Jeg vil gerne have en kop kaffe og et stykke kage."]) == [None]
    assert known_language("zh-Hant") == "zh"
    assert language_rule("tlh", None) is None
    rule = language_rule("de", "tlh")
    assert rule is not None
    assert rule([("This is surely not a German sentence.", "nuqneH")]) == ["the source is in en"]


def test_levels_name_rules_that_there_are() -> None:
    assert rules_of("off") == []
    assert set(MILD) < set(STRICT) < set(DESCRIPTIONS) - {LEAK[0]}
    assert "nfc" not in MILD, "a test set that is not composed would never be matched"
    assert rules_of("strict") == [rule for rule in DESCRIPTIONS if rule in STRICT]


def test_what_texts_are_compared_by() -> None:
    assert comparable("Ｈello,  WORLD…") == comparable("hello world") == "hello world"
    assert comparable("an ice-cold e-mail - “well”") == "an icecold email well"
    assert comparable("हिन्दी!") == "हिन्दी", "marks belong to letters"
    assert comparable("...") == "..."
    assert units("a dog barks") == ["a", "dog", "barks"]
    assert units("我喜欢吃苹果和香蕉因为它们很好吃") == list("我喜欢吃苹果和香蕉因为它们很好吃")
    assert letters("हिन्दी") == 6
