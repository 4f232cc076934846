"""All that this project uses of `datasets` without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with its source, and raise it.
"""

import datasets
from datasets.data_files import DataFilesDict, EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError

VERSION = "5.2.0"

UNLOADABLE = (DataFilesNotFoundError, EmptyDatasetError, RuntimeError)
"""What `load_dataset_builder` raises for a data set without files that it reads; RuntimeError: one with a script."""


def address_of(dataset: str, commit: str | None = None) -> str:
    """Return the address of a Hub data set; without hf://, a folder of its name would be taken for it."""
    return f"hf://datasets/{dataset}" + (f"@{commit}/" if commit else "")


def commit_of(builder: datasets.DatasetBuilder) -> str | None:
    """Return the commit that a builder has found on the Hub: its `hash`."""
    found: str | None = builder.hash
    return found


def files_of(builder: datasets.DatasetBuilder) -> list[str]:
    """Return the addresses of the files that a builder is about to download."""
    return [str(file) for files in (builder.config.data_files or {}).values() for file in files]


def splits_of(builder: datasets.DatasetBuilder) -> list[str]:
    """Return the names of the splits of a data set that is not downloaded yet."""
    return [str(name) for name in builder.config.data_files or {}]


def keep_split(builder: datasets.DatasetBuilder, name: str) -> None:
    """Have a builder download and build one split alone."""
    files = builder.config.data_files or {}
    builder.config.data_files = DataFilesDict({split: each for split, each in files.items() if split == name})


def dataset_bars_are_decided() -> bool:
    """Return whether the user has said in the environment if progress bars are shown."""
    return datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is not None
