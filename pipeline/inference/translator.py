"""Text in, translations out, for registered models and for scoring.

Part of every registered version, with the files that it imports; registry/bundle.py says how.
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
from pipeline.errors import InputError
from pipeline.inference.devices import CPU, first_sentence, gpu_precision, is_out_of_memory
from pipeline.inference.segments import has_letter, has_text, join_parts, one_line, split_line
from pipeline.inference.subwords import Subwords
from pipeline.inference.weights import WEIGHTS, load_weights

Progress = Callable[[int], None]
LongLines = Literal["split", "refuse"]


@dataclass(frozen=True)
class LinePolicy:
    """How lines are treated before and after the search."""

    replace_unknown: bool = False
    """Replace an unknown token by the source word with the most attention."""
    max_source_length: int = 100
    """Most source tokens translated at once; models have not seen longer sentences than in training."""
    long_lines: LongLines = "split"
    """Whether a longer line is translated in parts or refused."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_source_length <= 10_000:
            raise ValueError(f"max_source_length={self.max_source_length} must be between 1 and 10000")
        if self.long_lines not in get_args(LongLines):
            raise ValueError(f"long_lines={self.long_lines!r:.40} must be one of {', '.join(get_args(LongLines))}")


LINE_POLICY = tuple(field.name for field in fields(LinePolicy))


@dataclass(frozen=True)
class Translation:
    """A translation of a sentence, one of the `n_best`."""

    text: str
    score: float
    source_pieces: list[str]
    target_pieces: list[str]
    attention: list[list[float]]
    """A row per target piece (</s> last if the translation ended), a column per source piece (</s> last)."""
    copied: bool = False
    """Whether it is the source itself, which has nothing that the model could translate."""
    truncated: bool = False
    """Whether the limit of its length cut it off, or one of its parts, before it ended."""


class Translator:
    """Translates lines, in any number and order; the result does not depend on the batches."""

    def __init__(
        self,
        model: Seq2Seq,
        subwords: Subwords,
        config: SearchConfig,
        batch_sentences: int = 128,
        line_policy: LinePolicy | None = None,
    ) -> None:
        """Take a model in evaluation mode, its tokenizer, and the options of the search and of lines.

        Raises ValueError for options that need attention if the model has none.
        """
        line_policy = line_policy or LinePolicy()
        uses = (("coverage_penalty", config.coverage_penalty), ("replace_unknown", line_policy.replace_unknown))
        for name, value in uses:
            if value and model.config.attention == "none":
                raise ValueError(
                    f"{name}={value} needs attention weights, which this model does not have; leave it out"
                )
        self._model = model
        self._subwords = subwords
        self.config = config
        self.line_policy = line_policy
        self.batch_sentences = batch_sentences

    @classmethod
    def from_description(cls, folder: Path, description: Mapping[str, Any], device: torch.device = CPU) -> "Translator":
        """Load a model onto a device, from its folder (weights, source.model and target.model) and its description.

        The description has the keys `model` (a ModelConfig), `search` (a SearchConfig), `line_policy` (a LinePolicy)
        and `batch_sentences`.
        """
        subwords = Subwords(folder)
        config = ModelConfig.model_validate(description["model"])
        network = Seq2Seq(config, subwords.source_size, subwords.target_size)
        load_weights(network, folder / WEIGHTS)
        search_config, line_policy = SearchConfig(**description["search"]), LinePolicy(**description["line_policy"])
        return cls(network.to(device).eval(), subwords, search_config, description["batch_sentences"], line_policy)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self._model.parameters()).device

    @property
    def has_attention(self) -> bool:
        """Whether the model has attention weights."""
        return self._model.config.attention != "none"

    def configured(self, changes: Mapping[str, Any]) -> "Translator":
        """Return a translator with these fields of SearchConfig and LinePolicy changed.

        Raises ValueError with the field, the value and the remedy.
        """
        line_policy = replace(self.line_policy, **{name: changes[name] for name in changes if name in LINE_POLICY})
        config = replace(self.config, **{name: changes[name] for name in changes if name not in LINE_POLICY})
        return Translator(self._model, self._subwords, config, self.batch_sentences, line_policy)

    def translate(self, lines: Sequence[str], progress: Progress | None = None) -> list[str]:
        """Return the translation of each line, in order; a line without words stays empty.

        `progress` is called with the number of lines, or parts of long lines, done since the last call. Raises
        ValueError, with the line's number, for a line that is too long if `long_lines` is refuse.
        """
        parts, copied = self._parts(lines)
        results: list[list[str]] = [[""] * len(segments) for segments in parts]
        for line, part, found in self._search(parts, self.line_policy.replace_unknown, progress):
            results[line][part] = self._text(parts[line][part], found[0])
        joined = [join_parts(texts) for texts in results]
        return [copied.get(number, text) for number, text in enumerate(joined)]

    def hypotheses(
        self, lines: Sequence[str], progress: Progress | None = None, attention: bool = True
    ) -> list[list[Translation]]:
        """Return the `n_best` translations of each line, in order, the best first; none for a line without words.

        With `attention`, they have weights (rows without columns if the model has no attention). For a line translated
        in parts, a translation joins the parts' translations of the same rank, and its score is their mean. It has no
        single matrix of weights, so `attention` raises ValueError. Otherwise as `translate`.
        """
        parts, copied = self._parts(lines)
        if attention:
            self._refuse_long(lines, parts)
        found: list[list[list[Translation]]] = [[[] for _ in segments] for segments in parts]
        for line, part, hypotheses in self._search(parts, attention or self.line_policy.replace_unknown, progress):
            segment = parts[line][part]
            pieces = self._subwords.source_pieces(segment)
            found[line][part] = [self._translation(segment, pieces, hypothesis) for hypothesis in hypotheses]
        return [
            [self._copy(copied[number], attention)]
            if number in copied
            else _joined([n_best for n_best in segments if n_best])
            for number, segments in enumerate(found)
        ]

    def _parts(self, lines: Sequence[str]) -> tuple[list[list[str]], dict[int, str]]:
        """Return the segments that each line is translated in, and by their indices the lines that are copied.

        A line has one segment or several, or none if it has no text or is copied.
        """
        most = self.line_policy.max_source_length
        rows = self._subwords.encode_source(list(lines))
        copied = {
            number: one_line(line)
            for number, (line, row) in enumerate(zip(lines, rows, strict=True))
            if has_text(line) and not self._can_translate(line, row)
        }
        parts = [
            [line] if len(row) > 1 and has_text(line) and number not in copied else []
            for number, (line, row) in enumerate(zip(lines, rows, strict=True))
        ]
        for number, row in enumerate(rows):
            if len(row) - 1 <= most or number in copied:
                continue
            if self.line_policy.long_lines == "refuse":
                raise ValueError(
                    f"line {number + 1} has {len(row) - 1} tokens, more than max_source_length={most}; "
                    "shorten it, or set long_lines=split"
                )
            parts[number] = split_line(lines[number], self._subwords.source_offsets(lines[number]), most)
        return parts, copied

    def _can_translate(self, line: str, row: Sequence[int]) -> bool:
        """Return whether a line has a letter, in a piece that the model knows: what else is there is not language.

        Nor are user symbols.
        """
        words = self._subwords.without_symbols(line)
        if not has_letter(words):
            return False
        strange = SPECIAL_TOKENS.unknown in row or self._subwords.has_bytes
        return not strange or self._subwords.knows_letters(words)

    def _copy(self, line: str, attention: bool) -> Translation:
        """Return a line as its own translation, each piece attending to itself."""
        pieces = self._subwords.source_pieces(line)
        weights = torch.eye(len(pieces)).tolist() if attention and self.has_attention else [[] for _ in pieces]
        return Translation(line, 0.0, pieces, pieces, weights, copied=True)

    @staticmethod
    def _refuse_long(lines: Sequence[str], parts: Sequence[Sequence[str]]) -> None:
        for number, segments in enumerate(parts, start=1):
            if len(segments) > 1:
                raise ValueError(
                    f"attention: line {number} ({len(lines[number - 1])} characters) is translated in "
                    f"{len(segments)} parts and has no single matrix of weights; shorten it, or leave attention out"
                )

    def _search(
        self, parts: Sequence[Sequence[str]], attention: bool, progress: Progress | None
    ) -> Iterator[tuple[int, int, list[Hypothesis]]]:
        """Yield the line of each segment, its index in the line, and its hypotheses."""
        origins = [(line, part) for line, segments in enumerate(parts) for part in range(len(segments))]
        rows = self._subwords.encode_source([parts[line][part] for line, part in origins])
        # Segments of similar length together: fastest, and without effect on the result.
        order = sorted((index for index, row in enumerate(rows) if len(row) > 1), key=lambda index: len(rows[index]))
        for start in range(0, len(order), self.batch_sentences):
            batch = order[start : start + self.batch_sentences]
            for index, found in zip(batch, self._search_batch([rows[i] for i in batch], attention), strict=True):
                yield *origins[index], found
            if progress is not None:
                progress(len(batch))

    def _search_batch(self, rows: list[list[int]], attention: bool) -> list[list[Hypothesis]]:
        lengths = torch.tensor([len(row) for row in rows])
        source = torch.full((len(rows), int(lengths.max())), self._model.tokens.padding)
        for index, row in enumerate(rows):
            source[index, : len(row)] = torch.tensor(row)
        never, device = self._subwords.control_tokens, self.device
        try:
            with gpu_precision():
                return search(self._model, source.to(device), lengths.to(device), self.config, attention, never)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(self._too_large(source, error)) from error

    def _too_large(self, source: torch.Tensor, error: BaseException) -> str:
        memory = "the GPU's memory" if self.device.type == "cuda" else "this machine's memory"
        sentences, tokens = source.shape
        return (
            f"beam={self.config.beam}: {sentences} sentences of up to {tokens} tokens at once do not fit {memory} "
            f"({first_sentence(error)}); lower it, or max_source_length, or end what else uses that memory"
        )

    def _translation(self, sentence: str, source_pieces: list[str], hypothesis: Hypothesis) -> Translation:
        tokens = [*hypothesis.tokens, SPECIAL_TOKENS.end] if hypothesis.ended else hypothesis.tokens
        target_pieces = self._subwords.target_pieces(tokens)
        text = self._text(sentence, hypothesis)
        attention, truncated = hypothesis.attention, not hypothesis.ended
        return Translation(text, hypothesis.score, source_pieces, target_pieces, attention, truncated=truncated)

    def _text(self, sentence: str, hypothesis: Hypothesis) -> str:
        unknown = [index for index, token in enumerate(hypothesis.tokens) if token == SPECIAL_TOKENS.unknown]
        words = self._subwords.source_words(sentence) if self.line_policy.replace_unknown and unknown else []
        if not words:
            return one_line(self._subwords.decode_target([hypothesis.tokens])[0])
        # The last column belongs to `end`, which is not a word.
        attended = [hypothesis.attention[index][: len(words)] for index in unknown]
        found = [words[weights.index(max(weights))] for weights in attended]
        return one_line(self._subwords.decode_replacing(hypothesis.tokens, found))


def _joined(segments: Sequence[Sequence[Translation]]) -> list[Translation]:
    """Return the translations of a line from those of its segments: joins the best ones, the second best, and so on."""
    if len(segments) <= 1:
        return list(segments[0]) if segments else []
    return [
        Translation(
            join_parts([part.text for part in ranked]),
            mean(part.score for part in ranked),
            [piece for part in ranked for piece in part.source_pieces],
            [piece for part in ranked for piece in part.target_pieces],
            [],
            truncated=any(part.truncated for part in ranked),
        )
        for ranked in zip(*segments, strict=False)
    ]
