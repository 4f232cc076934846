"""A model's weights as safetensors, which cannot execute code when loaded."""

import math
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model.seq2seq import Seq2Seq

WEIGHTS = "model.safetensors"


def save_weights(model: Seq2Seq, path: Path) -> None:
    """Write the model's weights; tied tensors are written once."""
    # named_parameters, unlike state_dict, names a shared tensor once; safetensors refuses shared memory.
    save_file({name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}, path)


def load_weights(model: Seq2Seq, path: Path) -> None:
    """Load weights into a model of the same configuration. Raises ValueError if names are missing or unknown."""
    weights = load_file(path)
    parameters = dict(model.named_parameters())
    if weights.keys() != parameters.keys():
        raise ValueError(f"{path}: its weights {sorted(weights)} do not match those of the model, {sorted(parameters)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def count_parameters(path: Path) -> int:
    """Return the number of weights in a file written by `save_weights`; tied tensors count once."""
    with safe_open(path, framework="pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
