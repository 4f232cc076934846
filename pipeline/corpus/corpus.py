"""Stage `prepare_corpus`: sentence pairs from the Hub, from local files or the embedded captions, pinned and split."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pipeline.corpus import hub
from pipeline.corpus.cleaning.chunks import Asked
from pipeline.corpus.cleaning.pair_rules import LANGUAGE
from pipeline.corpus.cleaning.rules import rules_of
from pipeline.corpus.languages import SAMPLED_PAIRS, UNKNOWN, Languages, find_languages, named_languages
from pipeline.corpus.local_files import Parts, find_parts
from pipeline.corpus.pairs import Pair, PairColumns
from pipeline.corpus.splits import SPLITS, Split, read_pairs, split_path, write_splits
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.rows.lines import BadLines
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage, fingerprint
from pipeline.store.store import Artifact, Reuse, Store

STAGE: Final = "corpus"
CAPTIONS = "captions"
CLEANING = ("clean", "max_dropped")


@dataclass(frozen=True)
class Corpus:
    """A parallel corpus in three splits."""

    path: Path
    """Its folder in the store: train.jsonl, validation.jsonl, test.jsonl; an object with source and target per line."""
    fingerprint: str
    """SHA-256 of the three files: the same pairs are the same corpus, wherever they came from."""
    figures: Mapping[str, Any]
    """See `write_splits`; `origin`, which says where to get the same pairs again; `skipped`, the bad lines."""
    reused: Reuse
    """Whether it was in the store already."""
    languages: Languages = UNKNOWN

    def pairs(self, split: Split) -> Iterator[Pair]:
        """Return the split's (source, target) pairs in order, read one at a time."""
        return read_pairs(split_path(self.path, split))

    @property
    def skipped(self) -> int:
        """How many bad lines were left out."""
        return skipped_lines(self.figures)

    @property
    def train_bytes(self) -> int:
        """How large the training pairs are: text and a few bytes more for each."""
        return split_path(self.path, "train").stat().st_size

    def split_fingerprint(self, split: Split) -> str:
        """Return the SHA-256 of one split's file; scores are comparable only where it is the same."""
        return str(self.figures["sha256"][split])


def prepare_corpus(config: CorpusConfig, store: Store) -> Corpus:
    """Load a parallel corpus, pin what it came from, and write it in three splits.

    Reads `config.path` (and `target_path`) if set, else the embedded corpus if `config.dataset` is captions, else the
    Hub data set at the commit that `config.revision` means now. Writes train.jsonl, validation.jsonl and test.jsonl.
    Splits that the source lacks are held out from train after removing duplicates, all pairs of a source together.
    Pairs with an empty side are dropped and counted; line breaks and tabs inside a sentence become spaces; everything
    else stays as it is.

    The fingerprint covers the source's identity (the commit, the files' SHA-256, or the captions' seed and sizes) and
    the fields that matter to this kind of source. A commit that is in the store needs no network.

    Raises InputError for mistakes in the configuration or the files, ExternalError if the Hub cannot be reached or its
    answer is not the commit, OSError for a full disk. No partial output is left.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = CorpusConfig(captions_pairs=2, validation_size=1, test_size=1)
    ...     corpus = prepare_corpus(config, Store(Path(folder)))
    ...     len(list(corpus.pairs("train"))), corpus.figures["pairs"]
    (2, {'train': 2, 'validation': 1, 'test': 1})
    """
    if config.path is not None:
        artifact = _from_files(config, store)
    elif config.dataset == CAPTIONS:
        artifact = _from_captions(config, store)
    else:
        artifact = _from_hub(config, store)
    corpus = Corpus(artifact.path, artifact.figures["fingerprint"], artifact.figures, artifact.reused)
    return replace(corpus, languages=find_languages(config, corpus.pairs("train")))


def _from_captions(config: CorpusConfig, store: Store) -> Artifact:
    stage = _stage(config, ["dataset", "captions_pairs", "validation_size", "test_size", "seed", *CLEANING], {})

    def build(folder: Path) -> dict[str, Any]:
        # Imported here because `datasets` takes seconds to import, and a reused corpus does not need it.
        from pipeline.corpus.sources import caption_splits

        return _write(folder, caption_splits(config), config, {"dataset": CAPTIONS, "seed": config.seed})

    return store.produce(stage, build)


def _from_files(config: CorpusConfig, store: Store) -> Artifact:
    parts = find_parts(config)
    hashes = hash_parts(parts)
    missing = [split for split in SPLITS if split not in parts]
    sizes = [*(f"{split}_size" for split in missing), "seed"] if missing else []
    stage = _stage(config, ["source_column", "target_column", "skip_bad_lines", *CLEANING, *sizes], hashes)

    def build(folder: Path) -> dict[str, Any]:
        from pipeline.corpus.sources import local_splits

        bad = bad_lines(config)
        files = {str(file): file_hash(file) for file in _files(parts)}
        origin = {"path": str(config.path), "files": files}
        figures = _write(folder, local_splits(parts, PairColumns.of(config), bad), config, origin, bad)
        if hash_parts(parts) != hashes:
            raise InputError(f"corpus.path={config.path}: the files changed while they were read; run it again")
        return figures

    return store.produce(stage, build)


def _files(parts: Parts) -> Iterator[Path]:
    return (file for split in parts.values() for part in split for file in part.files)


def hash_parts(parts: Parts) -> dict[str, str]:
    """Return the SHA-256 of every file by its role in the corpus; names and folders do not matter."""
    return {
        f"{split} {number} {part.format} {side}": file_hash(file)
        for split, files in parts.items()
        for number, part in enumerate(files)
        for side, file in enumerate(part.files)
    }


def _from_hub(config: CorpusConfig, store: Store) -> Artifact:
    columns = ["source_column", "target_column", "skip_bad_lines"]
    fields = ["dataset", "subset", *columns, *CLEANING, "validation_size", "test_size", "seed"]

    def at(commit: str) -> Stage:
        return _stage(config, fields, {"commit": commit})

    found = store.find(at(config.revision)) if hub.is_commit(config.revision) else None
    if found is not None:
        return found
    with hub.hub_errors(config, _stored_commit(at(""), store)):
        commit = hub.resolve_commit(config.dataset, config.revision)
        origin = {"dataset": config.dataset, "subset": config.subset, "commit": commit}

        def build(folder: Path) -> dict[str, Any]:
            from pipeline.corpus.sources import hub_splits

            # In the artifact's temporary folder: on the same disk, and deleted with it if anything fails.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                bad = bad_lines(config)
                return _write(folder, hub_splits(config, commit, Path(scratch), bad), config, origin, bad)

        return store.produce(at(commit), build)


def _stored_commit(wanted: Stage, store: Store) -> str | None:
    """Return the newest commit of the data set that is in the store."""
    commits = [
        str(manifest["inputs"]["commit"])
        for manifest in store.manifests(STAGE)
        if wanted.settings.agree_with(manifest["config"]) and manifest["version"] == wanted.version
    ]
    return commits[-1] if commits else None


def _stage(config: CorpusConfig, fields: Iterable[str], inputs: Mapping[str, str]) -> Stage:
    settings = Settings.of(config, include=set(fields))
    if LANGUAGE[0] in rules_of(config.clean):  # Whose decisions depend on names, too.
        named = named_languages(config)
        values = {"source_language": named.source, "target_language": named.target}
        settings = Settings({**settings.values, **values}, {**settings.defaults, **dict.fromkeys(values)})
    return Stage(STAGE, settings, inputs)


def _write(
    folder: Path,
    splits: Mapping[Split, Iterable[Pair]],
    config: CorpusConfig,
    origin: Mapping[str, Any],
    bad: BadLines | None = None,
) -> dict[str, Any]:
    """Write the splits and return the artifact's figures."""
    sizes: dict[Split, int] = {"validation": config.validation_size, "test": config.test_size}
    name = f"corpus.dataset={config.dataset}" if config.path is None else f"corpus.path={config.path}"
    train = iter(splits["train"])
    first = list(itertools.islice(train, SAMPLED_PAIRS))
    languages = find_languages(config, first)
    asked = Asked(tuple(rules_of(config.clean)), languages.source, languages.target)
    raw = {**splits, "train": itertools.chain(first, train)}
    figures = write_splits(folder, raw, sizes, config.seed, name, asked, config.max_dropped)
    skipped = {} if bad is None else {"skipped": bad.figures()}
    return {"origin": origin, "fingerprint": fingerprint(figures["sha256"]), **figures, **skipped}


def skipped_lines(figures: Mapping[str, Any]) -> int:
    """Return how many bad lines an artifact's figures count; older artifacts have none."""
    return int(figures.get("skipped", {}).get("lines", 0))


def bad_lines(config: CorpusConfig) -> BadLines:
    """Return what to do with bad lines."""
    return BadLines(config.skip_bad_lines, "corpus.skip_bad_lines")
