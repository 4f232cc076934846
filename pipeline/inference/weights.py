"""A model's weights as safetensors: nothing that is loaded can run code."""

import math
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model.seq2seq import Seq2Seq

WEIGHTS = "model.safetensors"


def save_weights(model: Seq2Seq, path: Path) -> None:
    """Write the model's weights; a tensor that is tied to another is written once."""
    # named_parameters, unlike state_dict, names a shared tensor once; safetensors refuses shared memory.
    save_file({name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}, path)


def load_weights(model: Seq2Seq, path: Path) -> None:
    """Read weights into a model of the same configuration; every one must be there, and no other."""
    weights = load_file(path)
    parameters = dict(model.named_parameters())
    if weights.keys() != parameters.keys():
        raise ValueError(f"{path}: its weights {sorted(weights)} are not those of the model, {sorted(parameters)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def count_parameters(path: Path) -> int:
    """Return the number of weights in a file that `save_weights` wrote; those of tied tensors count once."""
    with safe_open(path, framework="pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
