"""Checkpoints: everything that a resumed run needs, as safetensors and JSON, which contain no code.

A folder with model.safetensors, optimizer.safetensors and progress.json. The state of random generators is not saved:
batches and dropout depend only on the seed, the epoch and the step.
"""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.inference.weights import WEIGHTS, load_weights, save_weights
from pipeline.training.history import Sums
from pipeline.training.progress import Progress
from pipeline.training.trainer import Trainer

MOMENTS, PROGRESS = "optimizer.safetensors", "progress.json"
SUMS = "sums"


def save_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Save the state of a trainer between two steps."""
    save_weights(trainer.model, folder / WEIGHTS)
    moments: dict[str, Tensor] = {}
    for name, parameter in trainer.model.named_parameters():
        moments |= {f"{name}/{key}": value for key, value in trainer.optimizer.state[parameter].items()}
    save_file(moments, folder / MOMENTS)
    state = asdict(trainer.progress) | {SUMS: asdict(trainer.sums)}
    (folder / PROGRESS).write_text(json.dumps(state) + "\n", "utf8")


def load_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Restore the state that `save_checkpoint` wrote; training continues as if it had never stopped."""
    load_weights(trainer.model, folder / WEIGHTS)
    moments = load_file(folder / MOMENTS)
    for name, parameter in trainer.model.named_parameters():
        prefix = f"{name}/"
        state = {key.removeprefix(prefix): value for key, value in moments.items() if key.startswith(prefix)}
        # Fused Adam keeps its step count on the parameter's device.
        trainer.optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    trainer.progress, trainer.sums = read_progress(folder)


def read_progress(folder: Path) -> tuple[Progress, Sums]:
    """Read how far a checkpoint is.

    Raises ValueError for one that was cut short, or written by a version whose progress was another.
    """
    state = json.loads((folder / PROGRESS).read_text("utf8"))
    try:
        sums = Sums(**state.pop(SUMS))
        return Progress(**state), sums
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / PROGRESS}: not the progress of a training by this version ({error})") from None
