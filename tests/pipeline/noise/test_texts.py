"""What texts become, and what stays."""

import pytest

from pipeline.noise.draws import Stream
from pipeline.noise.texts import symbols_pattern, title_case, upper_case, with_typos, without_final_punctuation

SYMBOLS = symbols_pattern(["<b>", "{name}", "{name}s"])


@pytest.mark.parametrize(
    ("text", "upper", "title", "bare"),
    [
        ("", "", "", ""),
        ("Ein Hund läuft.", "EIN HUND LÄUFT.", "Ein Hund Läuft.", "Ein Hund läuft"),
        ("das {name}s <b>ist</b> {name}", "DAS {name}s <b>IST</B> {name}", "Das {name}s <b>Ist</b> {name}", None),
        ("ist es wahr ?!", "IST ES WAHR ?!", "Ist Es Wahr ?!", "ist es wahr"),
        ("...", "...", "...", "..."),
        ("一只狗。", "一只狗。", "一只狗。", "一只狗"),
        ("он идёт…", "ОН ИДЁТ…", "Он Идёт…", "он идёт"),
        ("er sagte „ja.“", "ER SAGTE „JA.“", "Er Sagte „Ja.“", "er sagte „ja“"),
    ],
)
def test_case_and_punctuation(text: str, upper: str, title: str, bare: str | None) -> None:
    assert upper_case(text, SYMBOLS) == upper
    assert title_case(text, SYMBOLS) == title
    assert without_final_punctuation(text, SYMBOLS) == (text if bare is None else bare)


def test_a_symbol_that_ends_in_punctuation_stays() -> None:
    assert without_final_punctuation("siehe {1.}...", symbols_pattern(["{1.}", "."])) == "siehe {1.}..."
    assert without_final_punctuation("siehe $1!", symbols_pattern(["$1!"])) == "siehe $1!"


def test_turkish_has_two_letters_i() -> None:
    assert upper_case("iyi kız", None, "tr-TR") == "İYİ KIZ"
    assert title_case("iyi ılık", None, "az") == "İyi Ilık"


def edits(before: str, after: str) -> int:
    """Return the edit distance, in which two letters that change places are one."""
    rows: list[list[int]] = [[*range(len(after) + 1)]]
    for i, letter in enumerate(before, 1):
        row = [i]
        for j, other in enumerate(after, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == after[j - 2] and before[i - 2] == other:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def test_a_typo_is_one_slip_in_a_word_of_letters() -> None:
    """Every kind comes; words with symbols, short words and numbers never change; so many words as are asked for."""
    text = "Der kleine {name}s Hund läuft 1000 <b>schnell</b> an Größenordnung AB 一只大狗"
    words, changed, lengths = text.split(), 0, set[int]()
    for key in range(500):
        noisy = with_typos(text, 0.4, Stream(key), SYMBOLS).split()
        assert len(noisy) == len(words)
        for before, after in zip(words, noisy, strict=True):
            assert edits(before, after) <= 1
            if before in ("{name}s", "1000", "<b>schnell</b>", "an", "AB"):
                assert after == before
            changed += before != after
            lengths.add(len(after) - len(before))
    assert lengths == {-1, 0, 1}
    assert changed / 500 == pytest.approx(0.4 * 6, rel=0.1)


def test_a_pair_has_one_typo_at_least_and_the_same_key_the_same() -> None:
    outcomes = {with_typos("Hunde laufen", 0.0, Stream(key), None) for key in range(200)}
    assert "Hunde laufen" not in outcomes
    assert len(outcomes) > 20
    assert with_typos("Hunde laufen", 0.0, Stream(9), None) == with_typos("Hunde laufen", 0.0, Stream(9), None)


@pytest.mark.parametrize("text", ["", "一", "1 2 3", "a b", "{name}", "क\u094d\u0937"])
def test_where_there_is_no_letter_to_slip_on_nothing_changes(text: str) -> None:
    assert with_typos(text, 1.0, Stream(1), SYMBOLS) == text


def test_a_letter_keeps_its_marks() -> None:
    for key in range(100):
        assert with_typos("zu\u0308gig", 1.0, Stream(key), None).count("u\u0308") == 1
