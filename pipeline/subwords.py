"""Text to pieces and back: the two SentencePiece models that are part of every trained model."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import sentencepiece

from model.seq2seq import SPECIAL_TOKENS
from pipeline.errors import InputError

SOURCE_MODEL, TARGET_MODEL = "source.model", "target.model"


class Subwords:
    """Tokenizes the source, detokenizes the target. With a joint vocabulary both models are the same."""

    def __init__(self, folder: Path) -> None:
        """Load source.model and target.model from `folder`."""
        self._source = sentencepiece.SentencePieceProcessor(model_proto=(folder / SOURCE_MODEL).read_bytes())
        self._target = sentencepiece.SentencePieceProcessor(model_proto=(folder / TARGET_MODEL).read_bytes())

    @property
    def source_size(self) -> int:
        """Pieces of the source vocabulary."""
        return int(self._source.get_piece_size())

    @property
    def target_size(self) -> int:
        """Pieces of the target vocabulary."""
        return int(self._target.get_piece_size())

    def encode_source(self, sentences: list[str]) -> list[list[int]]:
        """Return the tokens of each sentence, `end` last."""
        return [[*tokens, SPECIAL_TOKENS.end] for tokens in self._source.encode(sentences)]

    def encode_target(self, sentences: list[str]) -> list[list[int]]:
        """Return the tokens of each sentence, `end` last."""
        return [[*tokens, SPECIAL_TOKENS.end] for tokens in self._target.encode(sentences)]

    def decode_target(self, rows: list[list[int]]) -> list[str]:
        """Return the detokenized text of each row of target tokens (without `start` and `end`)."""
        return [str(self._target.decode(row)) for row in rows]


def learn_pieces(
    sentences: Iterable[str],
    size: int,
    kind: Literal["unigram", "bpe"],
    byte_fallback: bool,
    character_coverage: float,
) -> bytes:
    """Train a SentencePiece model (Kudo and Richardson 2018); return its bytes, the same on every run.

    Raises InputError if the corpus cannot fill `size` pieces, or its characters alone need more.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            byte_fallback=byte_fallback,
            character_coverage=character_coverage,
            pad_id=SPECIAL_TOKENS.padding,
            unk_id=SPECIAL_TOKENS.unknown,
            bos_id=SPECIAL_TOKENS.start,
            eos_id=SPECIAL_TOKENS.end,
            max_sentence_length=1_000_000,  # Longer lines than its default of 4192 bytes are passed over in silence.
            num_threads=1,  # With more, unigram probabilities differ in the last digits from run to run.
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explain(str(error), size) from None
    return model.getvalue()


def _explain(message: str, size: int) -> Exception:
    too_high = re.search(r"value <= (\d+)", message)
    if too_high:
        return InputError(
            f"tokenizer.vocabulary_size={size} is too large for this corpus; the largest that fits is {too_high[1]}"
        )
    too_low = re.search(r"smaller than required_chars\D*\d+ vs (\d+)", message)
    if too_low:
        return InputError(
            f"tokenizer.vocabulary_size={size} is too small: the corpus's characters and the special tokens alone "
            f"need {too_low[1]}; raise it or lower tokenizer.character_coverage"
        )
    return RuntimeError(message)
