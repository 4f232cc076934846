"""All that this project uses of `datasets` and `huggingface_hub` without their documentation's promise, and why.

Read in the versions below; a test fails with any other. Then compare each part with their source, and raise them.
"""

import datasets
from datasets.data_files import DataFilesDict, EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError
from huggingface_hub import constants
from huggingface_hub.utils import httpx  # type: ignore[attr-defined] # Loaded lazily, but named in its __all__.
from huggingface_hub.utils.tqdm import disable_progress_bars

VERSIONS = {"datasets": "5.2.0", "huggingface-hub": "2.4.0"}

__all__ = ["REMARKS", "UNLOADABLE", "HubError", "disable_progress_bars"]

HubError = httpx.HTTPError
"""What the Hub's client raises for an answer with status 4xx or 5xx, and for none."""
UNLOADABLE = (DataFilesNotFoundError, EmptyDatasetError, RuntimeError)
"""What `load_dataset_builder` raises for a data set without files that it reads; RuntimeError: one with a script."""
REMARKS = "huggingface_hub.repocard"
"""The logger of remarks on data set cards."""


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


def bars_are_decided() -> bool:
    """Return whether the user has said in the environment if the Hub's progress bars are shown."""
    return constants.HF_HUB_DISABLE_PROGRESS_BARS is not None


def dataset_bars_are_decided() -> bool:
    """Return the same of those of `datasets`."""
    return datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is not None
