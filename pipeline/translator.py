"""Text in, translations out: what a pulled model runs, and what scores one.

It travels with every registered version, with the files that it imports; bundle.py says how.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.config import ModelConfig
from model.search import Hypothesis, SearchConfig, search
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from pipeline.subwords import Subwords
from pipeline.weights import WEIGHTS, load_weights

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Translation:
    """One of the best translations of a sentence."""

    text: str
    score: float
    source_pieces: list[str]
    target_pieces: list[str]
    attention: list[list[float]]
    """A row for each target piece (the last is </s> where it ended), a column for each source piece (</s> the last)."""


class Translator:
    """Translates sentences, whatever their number and order; the result does not depend on the batching."""

    def __init__(
        self,
        model: Seq2Seq,
        subwords: Subwords,
        config: SearchConfig,
        batch_sentences: int = 64,
        replace_unknown: bool = False,
    ) -> None:
        """Take a model (set to evaluation by the caller), its tokenizer and how to search.

        `replace_unknown` puts the source word that is attended to most in place of a token that is unknown. Raises
        ValueError for what a model without attention cannot do.
        """
        for name, value in (("coverage_penalty", config.coverage_penalty), ("replace_unknown", replace_unknown)):
            if value and model.config.attention == "none":
                raise ValueError(f"{name}={value} uses attention weights, which this model does not make; leave it out")
        self._model = model
        self._subwords = subwords
        self._config = config
        self._batch_sentences = batch_sentences
        self._replace_unknown = replace_unknown

    @classmethod
    def from_description(cls, folder: Path, description: Mapping[str, Any]) -> "Translator":
        """Load a model's folder (weights, source.model and target.model) as its description says.

        The description has the keys `model` (a ModelConfig), `search` (a SearchConfig), `batch_sentences` and
        `replace_unknown`.
        """
        subwords = Subwords(folder)
        config = ModelConfig.model_validate(description["model"])
        network = Seq2Seq(config, subwords.source_size, subwords.target_size)
        load_weights(network, folder / WEIGHTS)
        search_config = SearchConfig(**description["search"])
        settings = {key: description[key] for key in ("batch_sentences", "replace_unknown")}
        return cls(network.eval(), subwords, search_config, **settings)

    @property
    def has_attention(self) -> bool:
        """Whether the model attends to the source, so that there are weights to look at."""
        return self._model.config.attention != "none"

    def configured(self, changes: Mapping[str, Any]) -> "Translator":
        """Return a translator that differs in these fields of SearchConfig, or in `replace_unknown`.

        Raises ValueError with the field, the value and the remedy.
        """
        fields = dict(changes)
        replace_unknown = fields.pop("replace_unknown", self._replace_unknown)
        config = replace(self._config, **fields)
        return Translator(self._model, self._subwords, config, self._batch_sentences, replace_unknown)

    def translate(self, sentences: Sequence[str], progress: Progress | None = None) -> list[str]:
        """Return the translation of each sentence, in order; an empty or blank one stays empty.

        `progress` is called with the number of sentences done since the last call.
        """
        results = [""] * len(sentences)
        for index, found in self._search(sentences, self._replace_unknown, progress):
            results[index] = self._text(sentences[index], found[0])
        return results

    def hypotheses(self, sentences: Sequence[str], progress: Progress | None = None) -> list[list[Translation]]:
        """Return the `n_best` translations of each sentence, in order, the best first; none of a blank one.

        With their attention weights: rows without columns where the model has no attention.
        """
        results: list[list[Translation]] = [[] for _ in sentences]
        for index, found in self._search(sentences, True, progress):
            pieces = self._subwords.source_pieces(sentences[index])
            results[index] = [self._translation(sentences[index], pieces, hypothesis) for hypothesis in found]
        return results

    def _search(
        self, sentences: Sequence[str], attention: bool, progress: Progress | None
    ) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield the place of each sentence that is not blank and its hypotheses."""
        rows = self._subwords.encode_source(list(sentences))
        # Sentences of like length together: the shortest way through, and no effect on the result.
        order = sorted((index for index in range(len(rows)) if sentences[index].strip()), key=lambda i: len(rows[i]))
        for start in range(0, len(order), self._batch_sentences):
            batch = order[start : start + self._batch_sentences]
            yield from zip(batch, self._search_batch([rows[index] for index in batch], attention), strict=True)
            if progress is not None:
                progress(len(batch))

    def _search_batch(self, rows: list[list[int]], attention: bool) -> list[list[Hypothesis]]:
        device = next(self._model.parameters()).device
        lengths = torch.tensor([len(row) for row in rows])
        source = torch.full((len(rows), int(lengths.max())), self._model.tokens.padding)
        for place, row in enumerate(rows):
            source[place, : len(row)] = torch.tensor(row)
        return search(self._model, source.to(device), lengths.to(device), self._config, attention)

    def _translation(self, sentence: str, source_pieces: list[str], hypothesis: Hypothesis) -> Translation:
        tokens = [*hypothesis.tokens, SPECIAL_TOKENS.end] if hypothesis.ended else hypothesis.tokens
        target_pieces = self._subwords.target_pieces(tokens)
        text = self._text(sentence, hypothesis)
        return Translation(text, hypothesis.score, source_pieces, target_pieces, hypothesis.attention)

    def _text(self, sentence: str, hypothesis: Hypothesis) -> str:
        places = [place for place, token in enumerate(hypothesis.tokens) if token == SPECIAL_TOKENS.unknown]
        words = self._subwords.source_words(sentence) if self._replace_unknown and places else []
        if not words:
            return self._subwords.decode_target([hypothesis.tokens])[0]
        # The last column is that of `end`, which is no word.
        attended = [hypothesis.attention[place][: len(words)] for place in places]
        found = [words[weights.index(max(weights))] for weights in attended]
        return self._subwords.decode_replacing(hypothesis.tokens, found)
