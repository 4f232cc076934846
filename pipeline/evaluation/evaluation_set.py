"""The pairs that a registered model is scored on: a split of a corpus, or files of their own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import CorpusConfig, corpus_name
from pipeline.corpus.corpus import hash_parts, prepare_corpus
from pipeline.corpus.languages import UNKNOWN, Languages, find_languages
from pipeline.corpus.local_files import find_evaluation_parts
from pipeline.corpus.pairs import Pair, PairColumns
from pipeline.corpus.splits import Split, cleaned, split_path
from pipeline.errors import InputError
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Reuse, Store

FILE = "pairs.jsonl"


@dataclass(frozen=True)
class EvaluationSet:
    """Sentence pairs to score models on."""

    file: Path
    """One JSON object per line, with source and target; UTF-8."""
    fingerprint: str
    """SHA-256 of the file: scores are comparable only on the same pairs."""
    name: str
    pairs: int
    origin: Mapping[str, Any]
    reused: Reuse
    languages: Languages = UNKNOWN

    def read(self) -> Iterator[Pair]:
        """Yield the pairs in order, one at a time."""
        with self.file.open(encoding="utf8", newline="\n") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["source"], row["target"]


def prepare_split(config: CorpusConfig, split: Split, store: Store) -> EvaluationSet:
    """Load the split that a training on this corpus has: its own, or one held out from train.

    Raises what `prepare_corpus` raises.
    """
    corpus = prepare_corpus(config, store)
    return EvaluationSet(
        split_path(corpus.path, split),
        corpus.split_fingerprint(split),
        f"{corpus_name(config)} {split}",
        corpus.figures["pairs"][split],
        corpus.figures["origin"],
        corpus.reused,
        corpus.languages,
    )


def prepare_files(config: CorpusConfig, split: Split, store: Store) -> EvaluationSet:
    """Load the pairs of `config.path`: of a single file (or two aligned ones) all, of a folder the split's files.

    Pairs with an empty side are dropped and counted. Raises InputError for what the user named or supplied.
    """
    assert config.path is not None
    parts = find_evaluation_parts(config, split)
    columns = PairColumns.of(config)
    hashes = hash_parts({split: parts})

    def build(folder: Path) -> dict[str, Any]:
        from pipeline.corpus.sources import local_splits

        blank: dict[str, int] = {split: 0}
        pairs = 0
        with (folder / FILE).open("w", encoding="utf8", newline="\n") as file:
            for source, target in cleaned(local_splits({split: parts}, columns)[split], split, blank):
                file.write(json.dumps({"source": source, "target": target}, ensure_ascii=False) + "\n")
                pairs += 1
        if not pairs:
            raise InputError(
                f"corpus.path={config.path}: no sentence pair ({blank[split]} dropped because a side is empty); "
                "look at the columns"
            )
        if hash_parts({split: parts}) != hashes:
            raise InputError(f"corpus.path={config.path}: the files changed while they were read; start again")
        origin = {"path": str(config.path), "files": sorted(str(file) for part in parts for file in part.files)}
        return {"pairs": pairs, "blank": blank[split], "sha256": file_hash(folder / FILE), "origin": origin}

    settings = Settings.of(config, include={"source_column", "target_column"})
    artifact = store.produce(Stage("evaluation-set", settings, hashes), build)
    whole = len(parts) == 1 and not Path(config.path).expanduser().is_dir()
    pairs = EvaluationSet(
        artifact.path / FILE,
        artifact.figures["sha256"],
        corpus_name(config) if whole else f"{corpus_name(config)} {split}",
        artifact.figures["pairs"],
        artifact.figures["origin"],
        artifact.reused,
    )
    return replace(pairs, languages=find_languages(config, pairs.read()))
