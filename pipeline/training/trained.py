"""A trained model in the store: its checkpoints, and its history."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from model.config import ModelConfig
from model.seq2seq import Seq2Seq
from pipeline.batches.tokenizer import Tokenizer
from pipeline.inference.subwords import Subwords
from pipeline.inference.weights import WEIGHTS, load_weights
from pipeline.store.store import Figures, Reuse
from pipeline.training.history import Record, read_history

HISTORY = "history.jsonl"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class TrainedModel:
    """The checkpoints with the best validation BLEU, and the figures of every step and epoch."""

    path: Path
    fingerprint: str
    figures: Figures
    """best_epoch, best_bleu, epochs, steps, workers, device, gpu (its name), checkpoints (best first)."""
    reused: Reuse
    config: ModelConfig
    tokenizer: Tokenizer

    @property
    def weights(self) -> Path:
        """The weights of the best checkpoint."""
        return self.path / CHECKPOINTS / str(self.figures["checkpoints"][0]["name"]) / WEIGHTS

    @property
    def machine(self) -> str:
        """What it was trained on, in messages: for example 2 CPU workers, or 1 GPU worker (NVIDIA H100 PCIe)."""
        number, gpu = self.figures["workers"], self.figures.get("gpu")
        kind = f"{str(self.figures['device']).upper()} worker{'' if number == 1 else 's'}"
        return f"{number} {kind}{f' ({gpu})' if gpu else ''}"

    def load(self, device: torch.device) -> tuple[Seq2Seq, Subwords]:
        """Load the best checkpoint in evaluation mode, and its tokenizer."""
        subwords = self.tokenizer.load()
        model = Seq2Seq(self.config, subwords.source_size, subwords.target_size)
        load_weights(model, self.weights)
        return model.to(device).eval(), subwords

    def history(self) -> Iterator[Record]:
        """Yield the records of the run in order, of steps and of epochs (see `history.is_validation`)."""
        yield from read_history(self.path / HISTORY)
