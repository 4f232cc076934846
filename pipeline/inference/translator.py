"""Text in, translations out: what a pulled model runs, and what scores one.

It travels with every registered version, with the files that it imports; bundle.py says how.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal, get_args

import torch

from model.config import ModelConfig
from model.search.config import SearchConfig
from model.search.hypotheses import Hypothesis
from model.search.search import search
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from pipeline.inference.segments import has_text, split_line
from pipeline.inference.subwords import Subwords
from pipeline.inference.weights import WEIGHTS, load_weights

Progress = Callable[[int], None]
LongLines = Literal["split", "refuse"]


@dataclass(frozen=True)
class LinePolicy:
    """What is done with lines before and after they are searched."""

    replace_unknown: bool = False
    """Put the source word that is attended to most in place of a token that is unknown."""
    max_source_length: int = 100
    """Source tokens that are translated at once; models have seen no longer sentences than they were trained on."""
    long_lines: LongLines = "split"
    """Whether a longer line is translated in parts, or refused."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_source_length <= 10_000:
            raise ValueError(f"max_source_length={self.max_source_length} must be between 1 and 10000")
        if self.long_lines not in get_args(LongLines):
            raise ValueError(f"long_lines={self.long_lines!r:.40} must be one of {', '.join(get_args(LongLines))}")


LINE_POLICY = tuple(field.name for field in fields(LinePolicy))


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
        batch_sentences: int = 128,
        line_policy: LinePolicy | None = None,
    ) -> None:
        """Take a model (set to evaluation by the caller), its tokenizer, how to search, and what to do with lines.

        Raises ValueError for what a model without attention cannot do.
        """
        line_policy = line_policy or LinePolicy()
        uses = (("coverage_penalty", config.coverage_penalty), ("replace_unknown", line_policy.replace_unknown))
        for name, value in uses:
            if value and model.config.attention == "none":
                raise ValueError(f"{name}={value} uses attention weights, which this model does not make; leave it out")
        self._model = model
        self._subwords = subwords
        self.config = config
        self.line_policy = line_policy
        self.batch_sentences = batch_sentences

    @classmethod
    def from_description(cls, folder: Path, description: Mapping[str, Any]) -> "Translator":
        """Load a model's folder (weights, source.model and target.model) as its description says.

        The description has the keys `model` (a ModelConfig), `search` (a SearchConfig), `line_policy` (a LinePolicy)
        and `batch_sentences`.
        """
        subwords = Subwords(folder)
        config = ModelConfig.model_validate(description["model"])
        network = Seq2Seq(config, subwords.source_size, subwords.target_size)
        load_weights(network, folder / WEIGHTS)
        search_config, line_policy = SearchConfig(**description["search"]), LinePolicy(**description["line_policy"])
        return cls(network.eval(), subwords, search_config, description["batch_sentences"], line_policy)

    @property
    def has_attention(self) -> bool:
        """Whether the model attends to the source, so that there are weights to look at."""
        return self._model.config.attention != "none"

    def configured(self, changes: Mapping[str, Any]) -> "Translator":
        """Return a translator that differs in these fields of SearchConfig and LinePolicy.

        Raises ValueError with the field, the value and the remedy.
        """
        line_policy = replace(self.line_policy, **{name: changes[name] for name in changes if name in LINE_POLICY})
        config = replace(self.config, **{name: changes[name] for name in changes if name not in LINE_POLICY})
        return Translator(self._model, self._subwords, config, self.batch_sentences, line_policy)

    def translate(self, lines: Sequence[str], progress: Progress | None = None) -> list[str]:
        """Return the translation of each line, in order; one without a word in it stays empty.

        `progress` is called with the number of lines, or parts of long ones, done since the last call. Raises
        ValueError, with the line's number, for one that is too long where `long_lines` says so.
        """
        parts = self._parts(lines)
        results: list[list[str]] = [[""] * len(segments) for segments in parts]
        for line, place, found in self._search(parts, self.line_policy.replace_unknown, progress):
            results[line][place] = self._text(parts[line][place], found[0])
        return [" ".join(text for text in texts if text) for texts in results]

    def hypotheses(
        self, lines: Sequence[str], progress: Progress | None = None, attention: bool = True
    ) -> list[list[Translation]]:
        """Return the `n_best` translations of each line, in order, the best first; none of one without a word.

        `attention`: with the weights (rows without columns where the model has no attention). Of a line that was
        translated in parts, a translation joins those of equal rank, and its score is their mean; as it has no
        one matrix of weights, it raises ValueError where they are asked for. Else as `translate`.
        """
        parts = self._parts(lines)
        if attention:
            self._refuse_long(lines, parts)
        found: list[list[list[Translation]]] = [[[] for _ in segments] for segments in parts]
        for line, place, hypotheses in self._search(parts, attention or self.line_policy.replace_unknown, progress):
            segment = parts[line][place]
            pieces = self._subwords.source_pieces(segment)
            found[line][place] = [self._translation(segment, pieces, hypothesis) for hypothesis in hypotheses]
        return [_joined([n_best for n_best in segments if n_best]) for segments in found]

    def _parts(self, lines: Sequence[str]) -> list[list[str]]:
        """Return each line as the one or several segments that it is translated in, none where it has no word."""
        most = self.line_policy.max_source_length
        rows = self._subwords.encode_source(list(lines))
        parts = [[line] if len(row) > 1 and has_text(line) else [] for line, row in zip(lines, rows, strict=True)]
        for number, row in enumerate(rows):
            if len(row) - 1 <= most:
                continue
            if self.line_policy.long_lines == "refuse":
                raise ValueError(
                    f"line {number + 1} has {len(row) - 1} tokens, more than max_source_length={most}; "
                    "shorten it, or set long_lines=split"
                )
            parts[number] = split_line(lines[number], self._subwords.source_offsets(lines[number]), most)
        return parts

    @staticmethod
    def _refuse_long(lines: Sequence[str], parts: Sequence[Sequence[str]]) -> None:
        for number, segments in enumerate(parts, start=1):
            if len(segments) > 1:
                raise ValueError(
                    f"attention: line {number} ({len(lines[number - 1])} characters) is translated in "
                    f"{len(segments)} parts and has no one matrix of weights; shorten it, or leave attention out"
                )

    def _search(
        self, parts: Sequence[Sequence[str]], attention: bool, progress: Progress | None
    ) -> Iterator[tuple[int, int, list[Hypothesis]]]:
        """Yield the line and the place in it of each segment, and its hypotheses."""
        places = [(line, place) for line, segments in enumerate(parts) for place in range(len(segments))]
        rows = self._subwords.encode_source([parts[line][place] for line, place in places])
        # Segments of like length together: the shortest way through, and no effect on the result.
        order = sorted((index for index, row in enumerate(rows) if len(row) > 1), key=lambda index: len(rows[index]))
        for start in range(0, len(order), self.batch_sentences):
            batch = order[start : start + self.batch_sentences]
            for index, found in zip(batch, self._search_batch([rows[i] for i in batch], attention), strict=True):
                yield *places[index], found
            if progress is not None:
                progress(len(batch))

    def _search_batch(self, rows: list[list[int]], attention: bool) -> list[list[Hypothesis]]:
        device = next(self._model.parameters()).device
        lengths = torch.tensor([len(row) for row in rows])
        source = torch.full((len(rows), int(lengths.max())), self._model.tokens.padding)
        for place, row in enumerate(rows):
            source[place, : len(row)] = torch.tensor(row)
        return search(self._model, source.to(device), lengths.to(device), self.config, attention)

    def _translation(self, sentence: str, source_pieces: list[str], hypothesis: Hypothesis) -> Translation:
        tokens = [*hypothesis.tokens, SPECIAL_TOKENS.end] if hypothesis.ended else hypothesis.tokens
        target_pieces = self._subwords.target_pieces(tokens)
        text = self._text(sentence, hypothesis)
        return Translation(text, hypothesis.score, source_pieces, target_pieces, hypothesis.attention)

    def _text(self, sentence: str, hypothesis: Hypothesis) -> str:
        places = [place for place, token in enumerate(hypothesis.tokens) if token == SPECIAL_TOKENS.unknown]
        words = self._subwords.source_words(sentence) if self.line_policy.replace_unknown and places else []
        if not words:
            return self._subwords.decode_target([hypothesis.tokens])[0]
        # The last column is that of `end`, which is no word.
        attended = [hypothesis.attention[place][: len(words)] for place in places]
        found = [words[weights.index(max(weights))] for weights in attended]
        return self._subwords.decode_replacing(hypothesis.tokens, found)


def _joined(segments: Sequence[Sequence[Translation]]) -> list[Translation]:
    """Return the translations of a line from those of its segments: the best of all, the second best, and so on."""
    if len(segments) <= 1:
        return list(segments[0]) if segments else []
    return [
        Translation(
            " ".join(part.text for part in ranked if part.text),
            mean(part.score for part in ranked),
            [piece for part in ranked for piece in part.source_pieces],
            [piece for part in ranked for piece in part.target_pieces],
            [],
        )
        for ranked in zip(*segments, strict=False)
    ]
