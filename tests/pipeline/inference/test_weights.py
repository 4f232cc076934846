"""Weights as safetensors: read as they were written, tied tensors once, and no others."""

from pathlib import Path

import pytest
import torch

from model.config import ModelConfig
from model.seq2seq import Seq2Seq
from pipeline.inference.weights import count_parameters, load_weights, save_weights

SMALL = ModelConfig(embedding_size=8, encoder_size=4, decoder_size=8)


@pytest.mark.parametrize("tied", ["none", "decoder", "all"])
def test_weights_are_read_as_they_were_written(tmp_path: Path, tied: str) -> None:
    config = ModelConfig.model_validate({**SMALL.model_dump(), "tied_embeddings": tied})
    written, read = Seq2Seq(config, 20, 20), Seq2Seq(config, 20, 20)
    save_weights(written, tmp_path / "model.safetensors")
    load_weights(read, tmp_path / "model.safetensors")
    for name, parameter in written.named_parameters():
        assert torch.equal(read.get_parameter(name), parameter)
    assert count_parameters(tmp_path / "model.safetensors") == sum(p.numel() for p in written.parameters())


def test_weights_of_another_model(tmp_path: Path) -> None:
    save_weights(Seq2Seq(SMALL, 20, 20), tmp_path / "model.safetensors")
    other = ModelConfig.model_validate({**SMALL.model_dump(), "attention": "none", "input_feeding": False})
    with pytest.raises(ValueError, match=r"model.safetensors: its weights .* do not match those of the model"):
        load_weights(Seq2Seq(other, 20, 20), tmp_path / "model.safetensors")
