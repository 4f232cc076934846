"""What is taken from SentencePiece without a promise is there, in the version that it was read in."""

import io
from importlib.metadata import version

import pytest
import sentencepiece

from pipeline.inference import sentencepiece_internals
from pipeline.inference.sentencepiece_internals import QUIET, largest_size, model_message, smallest_size

CHECK = "compare every part in pipeline/inference/sentencepiece_internals.py with its source, and set VERSION"
SENTENCES = [f"der Hund {word} im Park" for word in ("läuft", "schläft", "spielt", "bellt")] * 9


def train(size: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=size, minloglevel=QUIET
    )
    return model.getvalue()


def test_sentencepiece_is_the_version_that_was_read() -> None:
    assert version("sentencepiece") == sentencepiece_internals.VERSION, CHECK


def test_a_size_that_does_not_fit_is_told_with_one_that_does(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as too_large:
        train(9999)
    with pytest.raises(RuntimeError) as too_small:
        train(5)
    largest, smallest = largest_size(str(too_large.value)), smallest_size(str(too_small.value))
    assert largest is not None, CHECK
    assert smallest is not None, CHECK
    assert (largest_size(str(too_small.value)), smallest_size(str(too_large.value))) == (None, None)
    train(largest)
    assert smallest < largest
    assert capfd.readouterr().err == "", f"it is not quiet. {CHECK}"


def test_a_model_file_is_that_message() -> None:
    message = model_message().FromString(train(25))
    assert len(message.pieces) == 25, CHECK
    assert {"normalizer_spec", "trainer_spec", "pieces"} <= {field.name for field in message.DESCRIPTOR.fields}, CHECK
    assert {"unk_id", "bos_id", "pad_piece"} <= {field.name for field in message.trainer_spec.DESCRIPTOR.fields}, CHECK
