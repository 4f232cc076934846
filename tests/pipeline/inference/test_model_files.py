"""Models of the user's: special tokens move, and sentences are cut as before."""

import io
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from model.seq2seq import SPECIAL_TOKENS
from pipeline.corpus.captions import generate_pairs
from pipeline.errors import InputError
from pipeline.inference.model_files import adopt_model, user_defined, with_rule
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords

SENTENCES = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"model_type": "bpe"},
    {"model_type": "char", "hard_vocab_limit": False},
    {"pad_id": 3, "eos_id": 0, "unk_id": 1, "bos_id": 2},
    {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "eos_piece": "<eos>", "unk_piece": "<?>"},
    {"eos_id": -1, "bos_id": -1, "byte_fallback": True, "vocab_size": 500},
    {"user_defined_symbols": ["<br>", "<pad>"], "control_symbols": ["<mask>"]},
]


def spm_train(**options: Any) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        **({"vocab_size": 250, "minloglevel": 2, "character_coverage": 1.0} | options),
    )
    return model.getvalue()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_special_tokens_are_where_the_network_has_them(tmp_path: Path, options: dict[str, Any]) -> None:
    given = spm_train(**options)
    before = sentencepiece.SentencePieceProcessor(model_proto=given)
    adopted = adopt_model(given, "tokenizer.model=own.model")
    after = sentencepiece.SentencePieceProcessor(model_proto=adopted)
    assert (after.pad_id(), after.unk_id(), after.bos_id(), after.eos_id()) == (0, 1, 2, 3)
    assert [after.is_control(token) for token in range(4)] == [True, False, True, True]
    lines = [*SENTENCES[:50], "Ein 猫 <br>", "½ Liter"]
    assert after.encode(lines, return_type=str) == before.encode(lines, return_type=str)
    old, new = ({p.id_to_piece(token) for token in range(p.get_piece_size())} for p in (before, after))
    assert old <= new
    assert len(new) == after.get_piece_size()
    for name in (SOURCE_MODEL, TARGET_MODEL):
        (tmp_path / name).write_bytes(adopted)
    subwords = Subwords(tmp_path)
    rows = subwords.encode_target(SENTENCES[:50])
    assert all(row[-1] == SPECIAL_TOKENS.end and SPECIAL_TOKENS.start not in row for row in rows)
    assert subwords.decode_target([row[:-1] for row in rows]) == SENTENCES[:50]
    assert adopt_model(adopted, "") == adopted


@pytest.mark.parametrize("content", [b"", b"Ein Hund\n" * 9, b"{}", b"<unk>\t0\n", b"\x80" * 50])
def test_another_file_is_refused_in_one_line(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^tokenizer.model=a.txt: not a SentencePiece model; name a .model file"):
        adopt_model(content, "tokenizer.model=a.txt")
    assert capfd.readouterr() == ("", "")


def test_another_rule_keeps_the_pieces() -> None:
    model = spm_train(normalization_rule_name="identity")
    changed = with_rule(model, "nmt_nfkc")
    before, after = (sentencepiece.SentencePieceProcessor(model_proto=content) for content in (model, changed))
    assert before.encode(SENTENCES) == after.encode(SENTENCES)
    assert (before.decode(before.encode("a\u00a0a")), after.decode(after.encode("a\u00a0a"))) == ("a \u2047 a", "a a")


def test_symbols_of_the_user_are_known() -> None:
    assert user_defined(spm_train(user_defined_symbols=["<br>", "{n}"])) == {"<br>", "{n}"}
    assert user_defined(spm_train()) == set()
