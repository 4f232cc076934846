"""Pieces: the same on every run, sizes that do not fit, and the words that pieces belong to."""

import subprocess
import sys
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Literal

import pytest

from pipeline.corpus.captions import generate_pairs
from pipeline.errors import InputError
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces

SENTENCES = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_same_bytes_on_every_run(kind: str) -> None:
    program = f"""
import sys
from pipeline.corpus.captions import generate_pairs
from pipeline.inference.subwords import learn_pieces
sentences = [s for pair in generate_pairs(300, seed=3) for s in pair]
sys.stdout.buffer.write(learn_pieces(sentences, 300, {kind!r}, False, 1.0))
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=Path.cwd()).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != b""


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_that_is_too_large_names_the_largest_that_fits(kind: str) -> None:
    def learn(size: int) -> bytes:
        return learn_pieces(SENTENCES, size, "unigram" if kind == "unigram" else "bpe", False, 1.0)

    with pytest.raises(InputError, match=r"vocabulary_size=90000 is too large .* fits is \d+$") as error:
        learn(90_000)
    largest = int(str(error.value).rsplit(" ", 1)[1])
    assert learn(largest)
    with pytest.raises(InputError):
        learn(largest + 1)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_that_is_too_small_for_the_characters(kind: str) -> None:
    with pytest.raises(InputError, match=r"vocabulary_size=12 is too small: .* alone need \d+; raise it"):
        learn_pieces(SENTENCES, 12, "unigram" if kind == "unigram" else "bpe", False, 1.0)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Ein Xqzwö lacht.", {"Ein": "Ein", "q": "Xqzwö", "ö": "Xqzwö", "▁lacht": "lacht", ".": "."}),
        ("  Die Ωμ-Bahn,\u00a0„ruht“ ", {"Ωμ": "Ωμ-Bahn", "B": "Ωμ-Bahn", ",": ",", "„": "„", "h": "ruht", "“": "“"}),
        ("Um 3,5 € …", {"3": "3,5", ",": "3,5", "€": "€", "…": "…"}),
    ],
)
def test_pieces_belong_to_words_as_they_are_spelled(subwords: Subwords, sentence: str, words: dict[str, str]) -> None:
    pieces = subwords.source_pieces(sentence)
    found = dict(zip(pieces, subwords.source_words(sentence), strict=False))
    assert len(subwords.source_words(sentence)) == len(pieces) - 1
    assert {piece: found.get(piece, found.get("▁" + piece)) for piece in words} == words


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_word_that_is_an_encoded_picture_is_learnt_from_in_parts(kind: Literal["unigram", "bpe"]) -> None:
    """Of a whole one of 200,000 characters, SentencePiece finds no finite probability."""
    picture = "".join(Random(1).choices(ascii_letters, k=20_001))
    parts = " ".join((picture[:10_000], picture[10_000:20_000], picture[20_000:]))
    assert learn_pieces([*SENTENCES, picture], 150, kind, False, 1.0) == learn_pieces(
        [*SENTENCES, parts], 150, kind, False, 1.0
    )


def test_with_bytes_every_character_is_written_but_sentencepieces_own_blank(tmp_path: Path) -> None:
    pieces = learn_pieces(SENTENCES, 500, "unigram", True, 1.0)
    for name in (SOURCE_MODEL, TARGET_MODEL):
        (tmp_path / name).write_bytes(pieces)
    bytewise = Subwords(tmp_path)
    characters = [chr(code) for code in (*range(1, 0x3100), *range(0x3100, 0x30000, 17)) if not 0xD800 <= code < 0xE000]
    texts = [f"a dog{character}runs" for character in characters]
    decoded = bytewise.decode_target([row[:-1] for row in bytewise.encode_target(texts)])
    assert [text for text, found in zip(texts, decoded, strict=True) if found != text] == ["a dog▁runs"]
