"""Opens the three kinds of source through Hugging Face `datasets`: a Hub data set, local files, the captions.

Three habits of `datasets` are worked around here. Without the Hub, it ignores the revision and returns the newest build
in its cache: it gets an empty cache, and what it returns is compared with the commit. It reports every load of a local
file to Hugging Face: local files do not go through `load_dataset`. It draws progress bars into log files.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import yaml
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
from datasets.utils import logging as datasets_logging

from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.hub.cards import card_facts
from pipeline.corpus.hub.datasets_internals import (
    UNLOADABLE,
    address_of,
    commit_of,
    dataset_bars_are_decided,
    files_of,
    keep_split,
    splits_of,
)
from pipeline.corpus.hub.downloads import Fetched, fetch_files
from pipeline.corpus.hub.errors import quiet_downloads, reason
from pipeline.corpus.hub.patience import patiently
from pipeline.corpus.local_files import Part, Parts
from pipeline.corpus.pairs import Pair, PairColumns, pairs_of, read_aligned, read_table
from pipeline.corpus.splits import SPLITS, Split
from pipeline.errors import ExternalError, InputError
from pipeline.rows.columns import Location, roots
from pipeline.rows.files import RowFile
from pipeline.rows.lines import BadLines
from pipeline.rows.readers import refuse_growing
from pipeline.source_config import SourceConfig

BATCH_ROWS = 1000
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What Hub data sets call their splits; the first name found is used."""


TEXTS = (
    datasets.Value | datasets.ClassLabel | datasets.Translation | datasets.TranslationVariableLanguages | datasets.Json
)
"""The features that are decoded from what is in the row alone."""


UNUSABLE = (
    *UNLOADABLE,
    *(yaml.YAMLError, ValueError, AttributeError, TypeError, LookupError),
)
"""What `datasets` raises for a data set without files that it reads, or whose card is broken or nested without end."""


@dataclass(frozen=True)
class Rows:
    """The pairs of one split in order; can be iterated repeatedly."""

    data: datasets.Dataset | datasets.IterableDataset
    columns: PairColumns
    name: str
    """Its name in messages."""
    bad: BadLines = field(default_factory=BadLines)

    def __iter__(self) -> Iterator[Pair]:
        return pairs_of(self._rows(), self.columns, self.bad)

    def _rows(self) -> Iterator[tuple[Location, dict[str, Any]]]:
        features = self.data.features
        number = itertools.count(1)
        sides = (self.columns.source, self.columns.target)
        names = roots(sides, list(features), list(features.flatten()), self.name)
        for name in names:
            _refuse_media(features[name], name, self.name)
        chosen = self.data.select_columns(names)
        for batch in chosen.iter(batch_size=BATCH_ROWS):
            for values in zip(*batch.values(), strict=True):
                yield Location(self.name, "row", next(number)), dict(zip(batch, values, strict=True))


def _refuse_media(feature: Any, column: str, where: str) -> None:
    """Raise InputError for a column that is not of texts and numbers alone.

    Reading an image, a recording and the like opens the file or address in the row, on this machine or in its network;
    and a data set says itself which of its columns are such.
    """
    inner: Iterable[Any] = ()
    if isinstance(feature, dict | list):
        inner = feature.values() if isinstance(feature, dict) else feature
    elif isinstance(feature, datasets.List | datasets.LargeList):
        inner = (feature.feature,)
    elif not isinstance(feature, TEXTS):
        raise InputError(f"{where}: its column {column} holds {type(feature).__name__}, not text; name another column")
    for part in inner:
        _refuse_media(part, column, where)


def caption_splits(config: SourceConfig) -> dict[Split, Iterable[Pair]]:
    """Return the embedded corpus: test, validation and training pairs, cut from one stream in this order.

    So the number of training pairs does not change the other two splits.
    """
    stream = generate_pairs(config.test_size + config.validation_size + config.captions_pairs, config.seed)
    test = list(itertools.islice(stream, config.test_size))
    validation = list(itertools.islice(stream, config.validation_size))
    return {"test": test, "validation": validation, "train": stream}


def local_splits(parts: Parts, columns: PairColumns, bad: BadLines | None = None) -> dict[Split, Iterable[Pair]]:
    """Return the splits of local files, each to be read once. Raises InputError for the first mistake that is met."""
    return {
        split: itertools.chain.from_iterable(_read(part, columns, bad) for part in files)
        for split, files in parts.items()
    }


def hub_splits(
    config: SourceConfig, commit: str, scratch: Path, bad: BadLines
) -> tuple[dict[Split, Rows], dict[str, Any]]:
    """Return the splits that a Hub data set has at a commit, train among them, and what they were made from.

    That is `files`, the SHA-256 of each by its path, and the `license` and `citation` of the card. Downloads into
    `$HF_HOME`, checks every file against the commit, and builds the data set in the folder `scratch`, which must exist
    for as long as the rows are read.
    """
    with _quiet():
        found, made_from = _load(_builder(config, commit, scratch), config, commit)
    splits = {split: next((name for name in NAMES[split] if name in found), None) for split in SPLITS}
    if splits["train"] is None:
        raise InputError(
            f"corpus.dataset={config.dataset}: it has no train split, only {', '.join(found)}; choose another data set "
            "or corpus.subset"
        )
    rows = {
        split: Rows(found[name], PairColumns.of(config), f"{config.dataset} {name}", bad)
        for split, name in splits.items()
        if name is not None
    }
    return rows, made_from


def hub_split(
    config: SourceConfig, split: str, commit: str, scratch: Path, bad: BadLines
) -> tuple[Rows, dict[str, Any]]:
    """Return one split of a Hub data set at a commit, as `hub_splits` does; no other's files are downloaded.

    It is one of ours, by any of its names, or one of the data set's own, such as devtest.
    """
    names = next((names for known, names in NAMES.items() if known == split), (split,))
    with _quiet():
        builder = _builder(config, commit, scratch)
        _verified_paths(builder, config.dataset, commit)  # First: another commit may have other splits.
        known = splits_of(builder)
        name = next((name for name in names if name in known), None)
        if name is None:
            raise InputError(
                f"split={split}: {config.dataset} has no such split; choose one of {', '.join(known)}, or another "
                "corpus.subset"
            )
        keep_split(builder, name)
        found, made_from = _load(builder, config, commit)
    return Rows(found[name], PairColumns.of(config), f"{config.dataset} {name}", bad), made_from


def _load(
    builder: datasets.DatasetBuilder, config: SourceConfig, commit: str
) -> tuple[datasets.DatasetDict, dict[str, Any]]:
    """Download the files of a data set, check them, and build it; return it with what it was made from."""
    columns = PairColumns.of(config)
    fetched: list[Fetched] = fetch_files(config.dataset, commit, _verified_paths(builder, config.dataset, commit))
    for file in fetched:
        refuse_growing(RowFile.local(file.local), [columns.source, columns.target])
    made_from = {"files": {file.path: file.sha256 for file in fetched}, **card_facts(config.dataset, commit)}
    try:
        builder.download_and_prepare(verification_mode="no_checks")  # The Hub card's checks; ours are stricter.
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise InputError(
            f"corpus.dataset={config.dataset}: its files cannot be read ({reason(error)}); "
            "choose another revision or data set"
        ) from error
    return builder.as_dataset(), made_from


def _builder(config: SourceConfig, commit: str, scratch: Path) -> datasets.DatasetBuilder:
    address = address_of(config.dataset)
    try:
        return patiently(
            config.dataset,
            lambda: datasets.load_dataset_builder(address, config.subset, revision=commit, cache_dir=str(scratch)),
        )
    except (
        DatasetNotFoundError
    ) as error:  # The commit was resolved, so the data set exists: access to its files is refused.
        raise InputError(
            f"corpus.dataset={config.dataset}: its files are refused ({reason(error)}); "
            "log in with an account that has access (`hf auth login`, or set HF_TOKEN)"
        ) from None
    except ValueError as error:
        try:
            subsets = datasets.get_dataset_config_names(address, revision=commit)
        except UNUSABLE:
            raise _unusable(config, error) from None
        if config.subset in subsets:
            raise _unusable(config, error) from None
        asked = "has several subsets" if config.subset is None else "has no such subset"
        raise InputError(
            f"corpus.subset={config.subset or 'null'}: {config.dataset} {asked}; choose one of {', '.join(subsets)}"
        ) from None
    except UNUSABLE as error:
        raise _unusable(config, error) from None


def _unusable(config: SourceConfig, error: Exception) -> InputError:
    return InputError(
        f"corpus.dataset={config.dataset}: no files that can be loaded ({reason(error)}); "
        "choose a data set of JSON lines, CSV, Parquet or text files"
    )


def _verified_paths(builder: datasets.DatasetBuilder, dataset: str, commit: str) -> list[str]:
    """Return the paths of the data files, after checking that all belong to the requested commit."""
    root, addresses, found = address_of(dataset, commit), files_of(builder), commit_of(builder)
    if found != commit or not addresses or not all(address.startswith(root) for address in addresses):
        raise ExternalError(
            f"corpus.dataset={dataset}: requested commit {commit}, received {found}; "
            "try again, or set corpus.path=FOLDER to a local copy"
        )
    return [address.removeprefix(root) for address in addresses]


def _read(part: Part, columns: PairColumns, bad: BadLines | None) -> Iterator[Pair]:
    if part.format == "saved":
        with _quiet():
            saved = _saved(part.path)
        return iter(Rows(saved, columns, str(part.path), bad or BadLines()))
    first, *others = part.row_files
    return read_aligned(first, others[0], bad) if others else read_table(first, columns, bad)


def _saved(folder: Path) -> datasets.Dataset:
    """Return what save_to_disk wrote. Raises InputError if it cannot be read."""
    try:
        # Saved with a format such as torch, it would give tensors.
        return datasets.Dataset.load_from_disk(str(folder)).with_format(None)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
        raise InputError(f"{folder}: not a readable data set ({reason(error)}); write it again") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' log lines off stderr, and their progress bars too unless it is a terminal."""
    level = datasets_logging.get_verbosity()
    bars = datasets.is_progress_bar_enabled()
    hide = bars and not sys.stderr.isatty() and not dataset_bars_are_decided()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    if hide:
        datasets.disable_progress_bars()
    try:
        with quiet_downloads():
            yield
    finally:
        datasets_logging.set_verbosity(level)
        if hide:
            datasets.enable_progress_bars()
