"""The language of the target chooses how BLEU finds words; a choice that finds none is refused."""

import pytest

from pipeline.config import EvaluationConfig
from pipeline.errors import InputError
from pipeline.metrics.metrics import BLEU, METRICS, headline_scores
from pipeline.metrics.tokenizers import bleu_tokenizer, check_words

SENTENCES = {
    "zh": ["一只棕色的狗在公园里跑。", "两个孩子，在玩球！"],
    "ja": ["茶色の犬が公園を走っています。", "二人の子供がボールで遊んでいる。"],
    "ko": ["갈색 개가 공원에서 달리고 있습니다.", "두 아이가 공을 가지고 놀고 있다."],
    "th": ["สุนัขสีน้ำตาลวิ่งในสวนสาธารณะ", "เด็กสองคนกำลังเล่นบอล"],
    "km": ["ឆ្កែពណ៌ត្នោតរត់ក្នុងឧទ្យាន", "កុមារពីរនាក់កំពុងលេងបាល់"],
    "de": ["Ein brauner Hund läuft im Park.", "Zwei Kinder spielen Ball."],
}
EXPECTED = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab", "th": "char", "km": "char", "de": "13a"}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_perfect_translation_has_bleu_100_with_the_tokenizer_of_its_language(language: str) -> None:
    tokenizer = bleu_tokenizer(EvaluationConfig(), language)
    assert tokenizer == EXPECTED[language]
    references = SENTENCES[language]
    check_words(references, tokenizer, "a set")
    assert headline_scores(references, references, tokenizer)["bleu"] == pytest.approx(100.0)
    assert f"|tok:{tokenizer}" in BLEU.with_tokenizer(tokenizer).signature


@pytest.mark.parametrize("language", ["zh", "th", "km"])
def test_a_tokenizer_that_finds_no_words_is_refused(language: str) -> None:
    assert BLEU.score(SENTENCES[language], SENTENCES[language]) < 60, "the trap"
    with pytest.raises(InputError, match=r"bleu_tokenizer=13a: .* one word in 2 of 2 references of news .*=char"):
        check_words(SENTENCES[language], "13a", "news")


def test_a_single_one_word_reference_is_no_reason() -> None:
    check_words(["Ja.", "Ein Hund läuft.", "Zwei Hunde laufen."], "13a", "news")
    check_words([], "13a", "nothing")


def test_an_override_wins_over_the_language() -> None:
    assert bleu_tokenizer(EvaluationConfig(bleu_tokenizer="char"), "zh") == "char"


@pytest.mark.parametrize(
    ("tag", "tokenizer"),
    [("zh-Hant-TW", "zh"), ("ZH", "zh"), ("yue", "zh"), ("ja-Latn", "13a"), ("kor", "ko-mecab"), ("sr-Cyrl", "13a")],
)
def test_scripts_and_regions_of_a_tag(tag: str, tokenizer: str) -> None:
    assert bleu_tokenizer(EvaluationConfig(), tag) == tokenizer


def test_ter_counts_chinese_characters_as_words() -> None:
    ter, references = METRICS["ter"], ["一只狗在跑。"]
    assert ter.score(["一只猫在跑。"], references) == 100.0, "the trap: one word, and it is wrong"
    assert ter.with_tokenizer("zh").score(["一只猫在跑。"], references) < 30.0
    assert METRICS["chrf"].with_tokenizer("zh") is METRICS["chrf"]
