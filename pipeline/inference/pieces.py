"""The pieces of one side's SentencePiece model, and texts to rows of them and back."""

from functools import cached_property
from typing import Any, Literal

import sentencepiece

from model.seq2seq import SPECIAL_TOKENS
from pipeline.inference.sentencepiece_internals import model_message

SPACE = "\u2581"
"""How a piece spells the blank before a word."""
KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
STANDS_FOR_UNKNOWN = range(0xE000, 0xF900)
"""Characters of the private use area; one that the model does not know stands for what it did not know before."""


class Pieces:
    """What one of the two models of a tokenizer does with the texts of its side."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        """Wrap a loaded model."""
        self._processor = processor

    @cached_property
    def _model(self) -> Any:
        return model_message().FromString(self._processor.serialized_model_proto())

    @cached_property
    def kind(self) -> Literal["unigram", "bpe", "word", "char"]:
        """How the model cuts texts."""
        return KINDS[self._model.trainer_spec.model_type]  # type: ignore[return-value]

    @cached_property
    def texts(self) -> list[str]:
        """Each piece as it is spelled."""
        return [piece.piece for piece in self._model.pieces]

    @cached_property
    def scores(self) -> list[float]:
        """Log probabilities of unigram pieces; of BPE's, the higher the earlier they were merged."""
        return [piece.score for piece in self._model.pieces]

    @cached_property
    def are_normal(self) -> list[bool]:
        """Whether a piece spells text: it is no special token, byte or user symbol."""
        return [piece.type == piece.NORMAL for piece in self._model.pieces]

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, with `end` last."""
        return [*self._processor.encode(text), SPECIAL_TOKENS.end]

    def decode(self, row: list[int]) -> str:
        """Return the text of a row without `end`, which encodes to the same row.

        A character of no meaning stands for each unknown token.
        """
        if SPECIAL_TOKENS.unknown not in row:
            return str(self._processor.decode(row))
        pieces = [self._stranger if token == SPECIAL_TOKENS.unknown else self.texts[token] for token in row]
        return str(self._processor.decode(pieces))

    @cached_property
    def _stranger(self) -> str:
        unknown = (chr(code) for code in STANDS_FOR_UNKNOWN)
        return next(text for text in unknown if self._processor.piece_to_id(text) == SPECIAL_TOKENS.unknown)

    @cached_property
    def between_sentences(self) -> list[int]:
        """The tokens to put between two rows, that the text of both has a blank there.

        None, where each sentence brings the blank of its first word along.
        """
        brings_one = SPACE in "".join(self._processor.encode("a", return_type=str))
        blank = self._processor.piece_to_id(SPACE)
        return [] if brings_one or blank == SPECIAL_TOKENS.unknown else [blank]
