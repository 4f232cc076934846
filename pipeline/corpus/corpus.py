"""Stage `prepare_corpus`: sentence pairs from the Hub, from local files or the embedded captions, pinned and split."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pipeline.corpus.cleaning.pair_rules import LANGUAGE
from pipeline.corpus.cleaning.report import PICTURE, REPORT
from pipeline.corpus.cleaning.rules import rules_of
from pipeline.corpus.hub.errors import hub_errors
from pipeline.corpus.hub.revisions import is_commit, resolve_commit
from pipeline.corpus.joined import agreed_languages, in_source, join_parts, joined_figures, without_rows
from pipeline.corpus.languages import SAMPLED_PAIRS, UNKNOWN, Languages, find_languages, named_languages
from pipeline.corpus.local_files import Parts, find_parts
from pipeline.corpus.pairs import Pair, PairColumns
from pipeline.corpus.scored import LeakGate, ScoredSet
from pipeline.corpus.splits import SPLITS, Cleaning, Split, read_pairs, split_path, write_splits
from pipeline.data_config import OF_ALL_SOURCES, CorpusConfig
from pipeline.errors import InputError
from pipeline.rows.lines import BadLines
from pipeline.source_config import NamedSource, SourceConfig
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage, fingerprint
from pipeline.store.store import Artifact, Reuse, Store

STAGE: Final = "corpus"
CAPTIONS = "captions"
CLEANING = ("clean", "max_dropped")


@dataclass(frozen=True)
class CorpusPart:
    """The pairs of one source."""

    name: str
    path: Path
    """Its folder in the store: train.jsonl, validation.jsonl, test.jsonl; an object with source and target per line."""
    fingerprint: str
    """SHA-256 of the three files: the same pairs are the same corpus, wherever they came from."""
    pairs: Mapping[Split, int]
    """How many there are."""
    weight: float | None = None
    """As configured: training has a use for it, the pairs do not depend on it."""
    left_out: Path | None = None
    """File with the rows of its training pairs that are scored, too, and left out; None: there are none."""

    @property
    def reports(self) -> list[Path]:
        """What the rules have done: a page of Markdown, and a picture if there are pairs enough."""
        return [file for name in (REPORT, PICTURE) if (file := self.path / name).exists()]

    def read(self, split: Split) -> Iterator[Pair]:
        """Return a split's pairs in order, read one at a time."""
        pairs = read_pairs(split_path(self.path, split))
        return pairs if split != "train" or self.left_out is None else without_rows(pairs, self.left_out)


@dataclass(frozen=True)
class Corpus:
    """A parallel corpus in three splits, from one source or several."""

    path: Path
    """Its folder in the store. That of several sources has validation.jsonl and test.jsonl alone: those of all in one;
    their training pairs are in their own folders."""
    fingerprint: str
    """That of its only part, or of what `join_parts` has made: from the names and the fingerprints of the parts."""
    figures: Mapping[str, Any]
    """See `write_splits`; `origin`, which says where to get the same pairs again; `skipped`, the bad lines. Of several
    sources their sums, and `parts` with the figures of each by its name."""
    reused: Reuse
    """Whether it was in the store already."""
    parts: tuple[CorpusPart, ...]
    languages: Languages = UNKNOWN

    def pairs(self, split: Split) -> Iterator[Pair]:
        """Return the split's (source, target) pairs, source by source, each in order; read one at a time."""
        return itertools.chain.from_iterable(part.read(split) for part in self.parts)

    @property
    def skipped(self) -> int:
        """How many bad lines were left out."""
        return skipped_lines(self.figures)

    @property
    def train_bytes(self) -> int:
        """How large the training pairs are: text and a few bytes more for each."""
        return sum(split_path(part.path, "train").stat().st_size for part in self.parts)

    def split_fingerprint(self, split: Split) -> str:
        """Return the SHA-256 of one split's pairs; scores are comparable only where it is the same."""
        return str(self.figures["sha256"][split])


def prepare_corpus(config: CorpusConfig, store: Store, scored: Sequence[ScoredSet] = ()) -> Corpus:
    """Load a parallel corpus, pin what it came from, and write it in three splits.

    Reads `config.path` (and `target_path`) if set, else the embedded corpus if `config.dataset` is captions, else the
    Hub data set at the commit that `config.revision` means now. Writes train.jsonl, validation.jsonl and test.jsonl.
    Splits that the source lacks are held out from train after removing duplicates, all pairs of a source together.
    Pairs with an empty side are dropped and counted; line breaks and tabs inside a sentence become spaces. The rules of
    `config.clean` repair or drop training pairs; validation and test stay as they are. Training pairs that are in
    validation, in test or in one of the `scored` sets, or nearly so, are taken out, as `config.leaks` says. Each of
    `config.sources` is loaded so, into an artifact of its own.

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
    gate = LeakGate(config.leaks, tuple(scored))
    if not config.sources:
        return prepare_source(config, store, gate)
    found = {source.name: _prepare_named(source, config, store) for source in config.sources}
    figures = {name: corpus.figures for name, corpus in found.items()}
    joined = join_parts(figures, {name: corpus.path for name, corpus in found.items()}, gate, store)
    across = {name: joined.path / file for name, file in joined.figures["left_out_rows"].items()}
    parts = tuple(
        replace(
            part,
            name=source.name,
            weight=source.weight,
            left_out=across.get(source.name),
            pairs={**part.pairs, "train": part.pairs["train"] - joined.figures["left_out"].get(source.name, 0)},
        )
        for source in config.sources
        for part in found[source.name].parts
    )
    return Corpus(
        joined.path,
        joined.fingerprint,
        joined_figures(figures, joined.figures) | {"fingerprint": joined.fingerprint},
        min(corpus.reused for corpus in found.values()),
        parts,
        agreed_languages({name: corpus.languages for name, corpus in found.items()}),
    )


def _prepare_named(source: NamedSource, config: CorpusConfig, store: Store) -> Corpus:
    """Load one of several sources."""
    common = {name: value for name in OF_ALL_SOURCES if (value := getattr(config, name)) is not None}
    with in_source(source.name):
        return prepare_source(source.model_copy(update=common), store, LeakGate(config.leaks))


def prepare_source(config: SourceConfig, store: Store, gate: LeakGate) -> Corpus:
    """Load the corpus of a single source, as `prepare_corpus` does."""
    if config.path is not None:
        artifact = _from_files(config, store, gate)
    elif config.dataset == CAPTIONS:
        artifact = _from_captions(config, store, gate)
    else:
        artifact = _from_hub(config, store, gate)
    figures = artifact.figures
    part = CorpusPart("", artifact.path, figures["fingerprint"], figures["pairs"])
    corpus = Corpus(artifact.path, part.fingerprint, figures, artifact.reused, (part,))
    return replace(corpus, languages=find_languages(config, corpus.pairs("train")))


def _from_captions(config: SourceConfig, store: Store, gate: LeakGate) -> Artifact:
    stage = _stage(config, ["dataset", "captions_pairs", "validation_size", "test_size", "seed", *CLEANING], {}, gate)

    def build(folder: Path) -> dict[str, Any]:
        # Imported here because `datasets` takes seconds to import, and a reused corpus does not need it.
        from pipeline.corpus.sources import caption_splits

        origin = {"dataset": CAPTIONS, "seed": config.seed}
        return _write(folder, caption_splits(config), config, gate, origin)

    return store.produce(stage, build)


def _from_files(config: SourceConfig, store: Store, gate: LeakGate) -> Artifact:
    parts = find_parts(config)
    hashes = hash_parts(parts)
    missing = [split for split in SPLITS if split not in parts]
    sizes = [*(f"{split}_size" for split in missing), "seed"] if missing else []
    stage = _stage(config, ["source_column", "target_column", "skip_bad_lines", *CLEANING, *sizes], hashes, gate)

    def build(folder: Path) -> dict[str, Any]:
        from pipeline.corpus.sources import local_splits

        bad = bad_lines(config)
        files = {str(file): file_hash(file) for file in _files(parts)}
        origin = {"path": str(config.path), "files": files}
        figures = _write(folder, local_splits(parts, PairColumns.of(config), bad), config, gate, origin, bad)
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


def _from_hub(config: SourceConfig, store: Store, gate: LeakGate) -> Artifact:
    columns = ["source_column", "target_column", "skip_bad_lines"]
    fields = ["dataset", "subset", *columns, *CLEANING, "validation_size", "test_size", "seed"]

    def at(commit: str) -> Stage:
        return _stage(config, fields, {"commit": commit}, gate)

    found = store.find(at(config.revision)) if is_commit(config.revision) else None
    if found is not None:
        return found
    with hub_errors(config, _stored_commit(at(""), store)):
        commit = resolve_commit(config.dataset, config.revision)
        origin = {"dataset": config.dataset, "subset": config.subset, "commit": commit}

        def build(folder: Path) -> dict[str, Any]:
            from pipeline.corpus.sources import hub_splits

            # In the artifact's temporary folder: on the same disk, and deleted with it if anything fails.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                bad = bad_lines(config)
                splits, made_from = hub_splits(config, commit, Path(scratch), bad)
                return _write(folder, splits, config, gate, origin | made_from, bad)

        return store.produce(at(commit), build)


def _stored_commit(wanted: Stage, store: Store) -> str | None:
    """Return the newest commit of the data set that is in the store."""
    commits = [
        str(manifest["inputs"]["commit"])
        for manifest in store.manifests(STAGE)
        if wanted.settings.agree_with(manifest["config"]) and manifest["version"] == wanted.version
    ]
    return commits[-1] if commits else None


def _stage(config: SourceConfig, fields: Iterable[str], inputs: Mapping[str, str], gate: LeakGate) -> Stage:
    settings = Settings.of(config, include=set(fields))
    settings = Settings({**settings.values, "leaks": gate.mode}, {**settings.defaults, "leaks": "remove"})
    if LANGUAGE[0] in rules_of(config.clean):  # Whose decisions depend on names, too.
        named = named_languages(config)
        values = {"source_language": named.source, "target_language": named.target}
        settings = Settings({**settings.values, **values}, {**settings.defaults, **dict.fromkeys(values)})
    return Stage(STAGE, settings, {**inputs, **gate.inputs})


def _write(
    folder: Path,
    splits: Mapping[Split, Iterable[Pair]],
    config: SourceConfig,
    gate: LeakGate,
    origin: Mapping[str, Any],
    bad: BadLines | None = None,
) -> dict[str, Any]:
    """Write the splits and return the artifact's figures."""
    sizes: dict[Split, int] = {"validation": config.validation_size, "test": config.test_size}
    name = f"corpus.dataset={config.dataset}" if config.path is None else f"corpus.path={config.path}"
    train = iter(splits["train"])
    first = list(itertools.islice(train, SAMPLED_PAIRS))
    languages = find_languages(config, first)
    cleaning = Cleaning(tuple(rules_of(config.clean)), languages, config.max_dropped, gate.mode, gate.read())
    raw = {**splits, "train": itertools.chain(first, train)}
    figures = write_splits(folder, raw, sizes, config.seed, name, cleaning)
    skipped = {} if bad is None else {"skipped": bad.figures()}
    return {"origin": origin, "fingerprint": fingerprint(figures["sha256"]), **figures, **skipped}


def skipped_lines(figures: Mapping[str, Any]) -> int:
    """Return how many bad lines an artifact's figures count; older artifacts have none."""
    return int(figures.get("skipped", {}).get("lines", 0))


def bad_lines(config: SourceConfig) -> BadLines:
    """Return what to do with bad lines."""
    return BadLines(config.skip_bad_lines, "corpus.skip_bad_lines")
