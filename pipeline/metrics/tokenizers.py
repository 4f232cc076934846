"""Which of sacreBLEU's tokenizers finds the words of a language, and whether it does in some references."""

from collections.abc import Iterable
from itertools import islice

from sacrebleu.metrics import bleu

from pipeline.config import BleuTokenizer, EvaluationConfig
from pipeline.errors import InputError

BY_LANGUAGE: dict[BleuTokenizer, str] = {
    "zh": "zh zho chi cmn yue wuu nan hak gan hsn lzh",
    "ja-mecab": "ja jpn",
    "ko-mecab": "ko kor",
    "char": "th tha lo lao km khm my mya bur shn bo bod tib dz dzo",
}
BY_SCRIPT: dict[BleuTokenizer, str] = {
    "zh": "Hans Hant Hani",
    "ja-mecab": "Jpan Hrkt",
    "ko-mecab": "Kore Hang",
    "char": "Thai Laoo Khmr Mymr Tibt",
}
"""`char` where words are written without blanks and sacreBLEU has no dictionary."""
SAMPLED = 1000
MOST_OF_ONE_WORD = 0.5


def bleu_tokenizer(config: EvaluationConfig, language: str | None) -> BleuTokenizer:
    """Return the configured tokenizer, else that of a target language (a BCP 47 tag).

    >>> [bleu_tokenizer(EvaluationConfig(), tag) for tag in ("de", "zh-TW", "jpn-Jpan", "zh-Latn", None)]
    ['13a', 'zh', 'ja-mecab', '13a', '13a']
    """
    if config.bleu_tokenizer is not None or language is None:
        return config.bleu_tokenizer or "13a"
    primary, *others = language.split("-")
    script = next((part.title() for part in others if len(part) == 4 and part.isalpha()), None)
    table, name = (BY_LANGUAGE, primary.lower()) if script is None else (BY_SCRIPT, script)
    return next((tokenizer for tokenizer, names in table.items() if name in names.split()), "13a")


def check_words(references: Iterable[str], tokenizer: BleuTokenizer, name: str) -> None:
    """Raise InputError if the tokenizer leaves most references one word: BLEU counts up to four words in a row.

    Looks at the first thousand; `name` is that of their set.
    """
    split = bleu.BLEU(tokenize=tokenizer).tokenizer
    sample = list(islice(references, SAMPLED))
    single = [reference for reference in sample if len(split(reference).split()) <= 1]
    if len(single) > MOST_OF_ONE_WORD * len(sample):
        raise InputError(
            f"evaluation.bleu_tokenizer={tokenizer}: it finds one word in {len(single)} of {len(sample)} references "
            f"of {name} (such as {single[0]:.40}), so BLEU would be 0; set corpus.target_language to theirs, or "
            "evaluation.bleu_tokenizer=char"
        )
