"""The pairs that a registered model is scored on: a split of a corpus, or files of their own."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pipeline.corpus.corpus import Corpus, bad_lines, hash_parts, prepare_corpus, skipped_lines
from pipeline.corpus.languages import UNKNOWN, Languages, find_languages
from pipeline.corpus.local_files import Part, find_evaluation_parts
from pipeline.corpus.pairs import Pair, PairColumns
from pipeline.corpus.splits import Split, clean_sentence, cleaned, read_pairs, split_path
from pipeline.data_config import CorpusConfig, corpus_name
from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.source_config import SourceConfig
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Reuse, Store

FILE = "pairs.jsonl"


@dataclass(frozen=True)
class EvaluationSet:
    """Sentence pairs to score models on."""

    file: Path
    """One JSON object per line, with source and target, and `references` if there are further ones; UTF-8."""
    fingerprint: str
    """SHA-256 of the file: scores are comparable only on the same pairs."""
    name: str
    pairs: int
    origin: Mapping[str, Any]
    reused: Reuse
    skipped: int = 0
    """How many bad lines were left out."""
    languages: Languages = UNKNOWN

    def read(self) -> Iterator[Pair]:
        """Return the pairs in order, read one at a time."""
        return read_pairs(self.file)

    def references(self) -> Iterator[list[str | None]]:
        """Yield the references of each pair in order: its target, then the further ones; None where one is missing."""
        with self.file.open(encoding="utf8", newline="\n") as lines:
            for line in lines:
                row = json.loads(line)
                yield [row["target"], *(text or None for text in row.get("references", ()))]


@dataclass(frozen=True)
class Seen:
    """How much of an evaluation set a model was trained on."""

    pairs: int
    """Pairs that are in its training data."""
    sources: int
    """Pairs whose source is there, with this target or another."""


def count_seen(pairs: EvaluationSet, train: Iterable[Pair]) -> Seen:
    """Count the pairs that are among training pairs, which are read once."""
    wanted: dict[str, set[str]] = {}
    for source, target in pairs.read():
        wanted.setdefault(source, set()).add(target)
    seen: dict[str, set[str]] = {}
    for source, target in train:
        if source in wanted:
            seen.setdefault(source, set()).update(wanted[source] & {target})
    return Seen(
        sum(target in seen.get(source, ()) for source, target in pairs.read()),
        sum(source in seen for source, _ in pairs.read()),
    )


def prepare_split(config: CorpusConfig, split: Split, store: Store) -> EvaluationSet:
    """Load the split that a training on this corpus has: its own, or one held out from train.

    Raises what `prepare_corpus` raises.
    """
    corpus = prepare_corpus(config, store)
    return EvaluationSet(
        split_path(corpus.path, split) if len(corpus.parts) == 1 or split != "train" else _whole_train(corpus, store),
        corpus.split_fingerprint(split),
        f"{corpus_name(config)} {split}",
        corpus.figures["pairs"][split],
        corpus.figures["origin"],
        corpus.reused,
        corpus.skipped,
        corpus.languages,
    )


def _whole_train(corpus: Corpus, store: Store) -> Path:
    """Return a file with the training pairs of all sources: of what is scored otherwise, the corpus has one."""

    def build(folder: Path) -> dict[str, Any]:
        with (folder / FILE).open("wb") as whole:
            for part in corpus.parts:
                with split_path(part.path, "train").open("rb") as file:
                    shutil.copyfileobj(file, whole)
        return {"pairs": corpus.figures["pairs"]["train"], "sha256": file_hash(folder / FILE)}

    inputs = {"train": corpus.split_fingerprint("train")}
    return store.produce(Stage("evaluation-set", Settings({}), inputs), build).path / FILE


def prepare_files(config: SourceConfig, split: Split, store: Store, references: Sequence[str] = ()) -> EvaluationSet:
    """Load the pairs of `config.path`: of a single file (or two aligned ones) all, of a folder the split's files.

    `references` name further ones, as `config.target_path` or `config.target_column` names the first: files of lines,
    columns, or suffixes of the text files in a folder. An empty one counts as missing. Pairs whose source or first
    reference is empty are dropped and counted. Raises InputError for what the user named or supplied.
    """
    assert config.path is not None
    if references and config.skip_bad_lines:
        raise InputError(f"corpus.skip_bad_lines={config.skip_bad_lines}: --reference needs every line; set it to 0")
    sides = [_Side(find_evaluation_parts(config, split), PairColumns.of(config))]
    sides += [_further(config, split, name) for name in _distinct(config, references)]

    def hashes() -> dict[str, str]:
        first, *others = (hash_parts({split: side.parts}) for side in sides)
        further = {f"reference {n} {role}": value for n, other in enumerate(others) for role, value in other.items()}
        return first | further

    inputs = hashes()

    def build(folder: Path) -> dict[str, Any]:
        from pipeline.corpus.sources import local_splits

        bad = bad_lines(config)
        readings = [local_splits({split: side.parts}, side.columns, bad)[split] for side in sides]
        figures = write_set(folder, _side_by_side(readings, config), f"corpus.path={config.path}")
        if hashes() != inputs:
            raise InputError(f"corpus.path={config.path}: the files changed while they were read; start again")
        files = {str(file) for side in sides for part in side.parts for file in part.files}
        origin = {"path": str(config.path), "files": sorted(files)}
        return figures | {"skipped": bad.figures(), "origin": origin}

    settings = Settings.of(config, include={"source_column", "target_column", "skip_bad_lines"})
    further = {"references": [side.columns.target.name for side in sides[1:]]}
    settings = Settings({**settings.values, **further}, {**settings.defaults, "references": []})
    artifact = store.produce(Stage("evaluation-set", settings, inputs), build)
    whole = len(sides[0].parts) == 1 and not Path(config.path).expanduser().is_dir()
    name = corpus_name(config) if whole else f"{corpus_name(config)} {split}"
    found = EvaluationSet(
        artifact.path / FILE,
        artifact.figures["sha256"],
        f"{name} with {len(sides)} references" if references else name,
        artifact.figures["pairs"],
        artifact.figures["origin"],
        artifact.reused,
        skipped_lines(artifact.figures),
    )
    return replace(found, languages=find_languages(config, found.read()))


def write_set(folder: Path, pairs: Iterable[tuple[Pair, list[str]]], name: str) -> dict[str, Any]:
    """Write pairs with their further references, and return the figures: `pairs`, `blank`, `sha256`.

    Those with an empty side are left out and counted. `name` stands for where they come from in messages. Raises
    InputError if none is left.
    """
    written, blank = 0, {"test": 0}
    with (folder / FILE).open("w", encoding="utf8", newline="\n") as file:
        for pair, others in pairs:
            for source, target in cleaned([pair], "test", blank):
                row = {"source": source, "target": target} | ({"references": others} if others else {})
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                written += 1
    if not written:
        raise InputError(
            f"{name}: no sentence pair ({blank['test']} dropped because a side is empty); look at the columns"
        )
    return {"pairs": written, "blank": blank["test"], "sha256": file_hash(folder / FILE)}


@dataclass(frozen=True)
class _Side:
    """The sources with one of their references."""

    parts: tuple[Part, ...]
    columns: PairColumns


def _side_by_side(readings: Sequence[Iterable[Pair]], config: SourceConfig) -> Iterator[tuple[Pair, list[str]]]:
    """Yield each pair with its further references. Raises InputError where the readings are not of the same source."""
    for number, (first, *others) in enumerate(zip_longest(*readings), start=1):
        if any(other is None or first is None or other[0] != first[0] for other in others):
            raise InputError(
                f"--reference: from pair {number} on, the references in {config.path} are not of the same sources, as "
                "where a row has several texts of a language; give every reference a column or file of its own"
            )
        yield first, [clean_sentence(text) for _, text in others]


def _distinct(config: SourceConfig, references: Sequence[str]) -> Sequence[str]:
    """Return the names of further references; raise InputError for one that is named twice."""
    named = [config.target_column if config.target_path is None else config.target_path]
    for name in references:
        if name in named:
            raise InputError(f"--reference {name}: that reference is named already; leave it out, or name another")
        named.append(name)
    return references


def _further(config: SourceConfig, split: Split, name: str) -> _Side:
    """Return the sources with a further reference, which is named as the first one is."""
    source = PairColumns.of(config).source
    if config.target_path is not None:
        if not Path(name).expanduser().is_file():
            raise InputError(f"--reference {name}: there is no such file; name a text file with a line for each pair")
        parts = find_evaluation_parts(config.model_copy(update={"target_path": name}), split)
        return _Side(parts, PairColumns(source, Column("--reference", config.target_column)))
    parts = find_evaluation_parts(config.model_copy(update={"target_column": name}), split)
    return _Side(parts, PairColumns(source, Column("--reference", name)))
