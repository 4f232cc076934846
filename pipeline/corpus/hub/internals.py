"""All that this project uses of `huggingface_hub` without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with its source, and raise it.
"""

from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import (  # type: ignore[attr-defined] # Loaded lazily, but named in its __all__.
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    httpx,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

VERSION = "2.4.0"

__all__ = [
    "AWAY",
    "BROKEN",
    "REMARKS",
    "HubError",
    "build_hf_headers",
    "disable_progress_bars",
    "get_session",
    "hf_raise_for_status",
]

HubError = httpx.HTTPError
"""What the Hub's client raises for an answer with status 4xx or 5xx, and for none."""
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout, httpx.WriteError)
"""What it raises for a connection that was there and broke, or that has fallen silent."""
AWAY = (*BROKEN, httpx.ConnectError, httpx.ConnectTimeout)
"""The same, and for one that cannot be made: worth another try where there was one a moment ago."""
REMARKS = "huggingface_hub.repocard"
"""The logger of remarks on data set cards."""


def cache_folder(dataset: str) -> Path:
    """Return the folder of a data set in the Hub's cache."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=dataset, repo_type="dataset")


def bars_are_decided() -> bool:
    """Return whether the user has said in the environment if the Hub's progress bars are shown."""
    return constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
