"""Text in, translations out: what a pulled model runs, and what scores one.

It travels with every registered version, with the files that it imports; bundle.py says how.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from model.config import ModelConfig
from model.search import SearchConfig, search
from model.seq2seq import Seq2Seq
from pipeline.subwords import Subwords
from pipeline.weights import WEIGHTS, load_weights


class Translator:
    """Translates sentences, whatever their number and order; the result does not depend on the batching."""

    def __init__(
        self,
        model: Seq2Seq,
        subwords: Subwords,
        config: SearchConfig,
        batch_sentences: int = 64,
    ) -> None:
        """Take a model (set to evaluation by the caller), its tokenizer and how to search."""
        self._model = model
        self._subwords = subwords
        self._config = config
        self._batch_sentences = batch_sentences

    @classmethod
    def from_description(cls, folder: Path, description: Mapping[str, Any]) -> "Translator":
        """Load a model's folder (weights, source.model and target.model) as its description says.

        The description has the keys `model` (a ModelConfig), `search` (a SearchConfig) and `batch_sentences`.
        """
        subwords = Subwords(folder)
        config = ModelConfig.model_validate(description["model"])
        network = Seq2Seq(config, subwords.source_size, subwords.target_size)
        load_weights(network, folder / WEIGHTS)
        return cls(network.eval(), subwords, SearchConfig(**description["search"]), description["batch_sentences"])

    def translate(self, sentences: Sequence[str], progress: Callable[[int], None] | None = None) -> list[str]:
        """Return the translation of each sentence, in order; an empty or blank one stays empty.

        `progress` is called with the number of sentences done since the last call.
        """
        rows = self._subwords.encode_source(list(sentences))
        results = [""] * len(rows)
        # Sentences of like length together: the shortest way through, and no effect on the result.
        order = sorted((index for index in range(len(rows)) if sentences[index].strip()), key=lambda i: len(rows[i]))
        for start in range(0, len(order), self._batch_sentences):
            batch = order[start : start + self._batch_sentences]
            tokens = self._search([rows[index] for index in batch])
            for index, text in zip(batch, self._subwords.decode_target(tokens), strict=True):
                results[index] = text
            if progress is not None:
                progress(len(batch))
        return results

    def _search(self, rows: list[list[int]]) -> list[list[int]]:
        device = next(self._model.parameters()).device
        lengths = torch.tensor([len(row) for row in rows])
        source = torch.full((len(rows), int(lengths.max())), self._model.tokens.padding)
        for place, row in enumerate(rows):
            source[place, : len(row)] = torch.tensor(row)
        found = search(self._model, source.to(device), lengths.to(device), self._config)
        return [hypotheses[0].tokens for hypotheses in found]
