"""Text to pieces and back, with the two SentencePiece models of every trained model."""

import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import sentencepiece

from model.seq2seq import SPECIAL_TOKENS
from pipeline.errors import InputError
from pipeline.inference.normalization import IDENTITY, compiled
from pipeline.inference.pieces import Pieces
from pipeline.inference.sentencepiece_internals import QUIET, largest_size, smallest_size

LONGEST_WORD = 10_000
LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)")
SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS = "source.model", "target.model", "user_symbols.json"


class Subwords:
    """Tokenizes the source and detokenizes the target. With a joint vocabulary, both models have the same pieces."""

    def __init__(self, folder: Path) -> None:
        """Load source.model, target.model and, where there is one, user_symbols.json from `folder`."""
        self._source = sentencepiece.SentencePieceProcessor(model_proto=(folder / SOURCE_MODEL).read_bytes())
        self._target = sentencepiece.SentencePieceProcessor(model_proto=(folder / TARGET_MODEL).read_bytes())
        symbols = folder / USER_SYMBOLS
        self.user_symbols: list[str] = json.loads(symbols.read_text("utf8")) if symbols.exists() else []
        self._longest_first = sorted(self.user_symbols, key=len, reverse=True)

    @property
    def source_size(self) -> int:
        """Number of pieces in the source vocabulary."""
        return int(self._source.get_piece_size())

    @property
    def target_size(self) -> int:
        """Number of pieces in the target vocabulary."""
        return int(self._target.get_piece_size())

    @cached_property
    def pieces(self) -> tuple[Pieces, Pieces]:
        """What the models of the source and of the target know."""
        return Pieces(self._source), Pieces(self._target)

    def encode_source(self, sentences: list[str]) -> list[list[int]]:
        """Return the tokens of each sentence, with `end` last."""
        return [[*tokens, SPECIAL_TOKENS.end] for tokens in self._source.encode(sentences)]

    def encode_target(self, sentences: list[str]) -> list[list[int]]:
        """Return the tokens of each sentence, with `end` last."""
        return [[*tokens, SPECIAL_TOKENS.end] for tokens in self._target.encode(sentences)]

    def decode_target(self, rows: list[list[int]]) -> list[str]:
        """Return the detokenized text of each row of target tokens (without `start` and `end`)."""
        return [str(self._target.decode(row)) for row in rows]

    def decode_replacing(self, tokens: list[int], words: list[str]) -> str:
        """Return the detokenized text of a row of target tokens, with `words` replacing its unknown tokens.

        A word is set off by spaces from letters next to it.
        """
        pieces, remaining, before = list[str](), iter(words), SPECIAL_TOKENS.start
        for token in tokens:
            unknown = SPECIAL_TOKENS.unknown
            piece = next(remaining) if token == unknown else str(self._target.id_to_piece(token))
            if unknown in (before, token) and pieces and pieces[-1][-1:].isalnum() and piece[:1].isalnum():
                pieces.append(" ")
            pieces.append(piece)
            before = token
        # SentencePiece leaves strings that are not its own pieces as they are.
        return str(self._target.decode(pieces))

    def source_pieces(self, sentence: str) -> list[str]:
        """Return the piece of each source token, `end` last; unknown tokens as they are spelled."""
        return [*self._source.encode(sentence, return_type=str), self._source.id_to_piece(SPECIAL_TOKENS.end)]

    def target_pieces(self, tokens: list[int]) -> list[str]:
        """Return the piece of each target token."""
        return [str(self._target.id_to_piece(token)) for token in tokens]

    @cached_property
    def has_bytes(self) -> bool:
        """Whether unknown characters of the source are spelled in bytes."""
        return bool(self._source.is_byte(self._source.piece_to_id("<0x00>")))

    @cached_property
    def control_tokens(self) -> list[int]:
        """The target tokens that spell control characters, such as a line feed: pieces of byte fallback."""
        pieces = {f"<0x{byte:02X}>" for byte in (*range(0x20), 0x7F)}
        tokens = [self._target.piece_to_id(piece) for piece in sorted(pieces)]
        return [token for token in tokens if self._target.is_byte(token)]

    def without_symbols(self, sentence: str) -> str:
        """Return the sentence with a blank in place of each user symbol."""
        for symbol in self._longest_first:
            sentence = sentence.replace(symbol, " ")
        return sentence

    def knows_letters(self, sentence: str) -> bool:
        """Return whether a source token that is neither unknown nor a byte spells a letter of the sentence."""
        tokens, offsets = self._source.encode(sentence), self.source_offsets(sentence)
        known = (not self._source.is_unknown(token) and not self._source.is_byte(token) for token in tokens)
        return any(
            is_known and any(character.isalpha() for character in sentence[begin:end])
            for is_known, (begin, end) in zip(known, offsets, strict=True)
        )

    def source_words(self, sentence: str) -> list[str]:
        """Return the word that each source token (except `end`) belongs to, spelled as in the sentence."""
        return [
            self._symbol_at(sentence, begin, end) or _word_at(sentence, begin, end)
            for begin, end in self.source_offsets(sentence)
        ]

    def _symbol_at(self, sentence: str, begin: int, end: int) -> str | None:
        """Return the user symbol that a piece is, or that comes after a piece of white space."""
        start = end if sentence[begin:end].isspace() else begin
        return next((symbol for symbol in self._longest_first if sentence.startswith(symbol, start)), None)

    def source_offsets(self, sentence: str) -> list[tuple[int, int]]:
        """Return the character offsets where each source token (except `end`) begins and ends."""
        offsets = self._source.encode(sentence, return_type="offset_mapping")["offsets"]
        return [(begin, end) for begin, end in offsets]


def _word_at(sentence: str, begin: int, end: int) -> str:
    """Return the word that a piece of a sentence belongs to: from space to space, without surrounding punctuation.

    A piece of that punctuation is a word of its own. A piece of white space belongs to the word after it.
    """
    piece = sentence[begin:end]
    begin += len(piece) - len(piece.lstrip())
    for run in re.finditer(r"\S+", sentence):
        if begin < run.end():
            marks = "".join(character for character in run[0] if unicodedata.category(character).startswith("P"))
            word = run[0].strip(marks)
            start = run.end() - len(run[0].lstrip(marks))
            if not piece.strip() or (start < end and begin < start + len(word)):
                return word or run[0]
            break
    return piece.strip()


def learn_pieces(
    sentences: Iterable[str],
    size: int,
    kind: Literal["unigram", "bpe"],
    byte_fallback: bool,
    character_coverage: float,
    rule: str = IDENTITY,
    user_symbols: Sequence[str] = (),
) -> bytes:
    """Train a SentencePiece model (Kudo and Richardson 2018) and return its bytes, the same on every run.

    `rule` is one that `compiled` takes; `user_symbols` are pieces that are never cut, joined or unified.

    Raises InputError if the corpus has fewer than `size` pieces, or if its characters alone need more.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(_with_words_cut, sentences),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            byte_fallback=byte_fallback,
            character_coverage=character_coverage,
            normalizer=compiled(rule),
            user_defined_symbols=list(user_symbols),
            pad_id=SPECIAL_TOKENS.padding,
            unk_id=SPECIAL_TOKENS.unknown,
            bos_id=SPECIAL_TOKENS.start,
            eos_id=SPECIAL_TOKENS.end,
            max_sentence_length=1_000_000,  # By default, lines over 4192 bytes are skipped silently.
            num_threads=1,  # With more threads, unigram probabilities differ in their last digits between runs.
            minloglevel=QUIET,
        )
    except RuntimeError as error:
        raise _explain(str(error), size) from None
    return model.getvalue()


def _with_words_cut(sentence: str) -> str:
    """Return a sentence with blanks inside words of more than 10,000 characters, such as encoded pictures.

    Of one twenty times as long, SentencePiece cannot compute the probabilities (google/sentencepiece#859).
    """
    return LONG_WORD.sub(r"\g<0> ", sentence) if len(sentence) > LONGEST_WORD else sentence


def _explain(message: str, size: int) -> Exception:
    too_high, too_low = largest_size(message), smallest_size(message)
    if too_high is not None:
        return InputError(
            f"tokenizer.vocabulary_size={size} is too large for this corpus; the largest that fits is {too_high}"
        )
    if too_low is not None:
        return InputError(
            f"tokenizer.vocabulary_size={size} is too small: the corpus's characters and the special tokens alone "
            f"need {too_low}; raise it or lower tokenizer.character_coverage"
        )
    return RuntimeError(message)
