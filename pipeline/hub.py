"""The Hugging Face Hub: which commit a revision means, files that are proved to be its own, and what goes wrong."""

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import httpx  # type: ignore[attr-defined] # Loaded lazily, but named in its __all__.
from huggingface_hub.utils.tqdm import disable_progress_bars

from pipeline.config import CorpusConfig
from pipeline.errors import InputError, WorldError
from pipeline.store import file_hash

COMMIT = re.compile(r"[0-9a-f]{40}")
PATHS_A_REQUEST = 100
SECONDS_TO_ANSWER = 30.0


def is_commit(revision: str) -> bool:
    """Return whether the revision is a full commit, which can never come to mean something else."""
    return COMMIT.fullmatch(revision) is not None


def resolve_commit(dataset: str, revision: str) -> str:
    """Return the 40-digit commit that the Hub's branch, tag or commit means now."""
    commit = HfApi().dataset_info(dataset, revision=revision, timeout=SECONDS_TO_ANSWER).sha
    if commit is None or not is_commit(commit) or (is_commit(revision) and commit != revision):
        raise WorldError(
            f"corpus.revision={revision}: the Hub answered with commit {commit} of {dataset}; "
            "try again, or set corpus.path=FOLDER to a local copy"
        )
    return commit


def fetch_files(dataset: str, commit: str, paths: Sequence[str]) -> None:
    """Download files of a commit into the Hub's cache (`$HF_HOME`) and check each against the commit's own hashes.

    What the cache has is not downloaded again, but it is checked. Raises WorldError for a file that is not the
    commit's, after taking it out of the cache, so that trying again downloads it.
    """
    api = HfApi()
    for start in range(0, len(paths), PATHS_A_REQUEST):
        wanted = list(paths[start : start + PATHS_A_REQUEST])
        listed = api.get_paths_info(dataset, wanted, revision=commit, repo_type="dataset")
        files = {file.path: file for file in listed if isinstance(file, RepoFile)}
        for path in wanted:
            local = Path(api.hf_hub_download(dataset, path, repo_type="dataset", revision=commit))
            if path not in files or not _is_content_of(files[path], local):
                local.resolve().unlink(missing_ok=True)
                local.unlink(missing_ok=True)
                raise WorldError(
                    f"corpus.dataset={dataset}: {path} as downloaded is not the file of commit {commit}; "
                    "try again, or set corpus.path=FOLDER to a local copy"
                )


def _is_content_of(file: RepoFile, local: Path) -> bool:
    """Compare with the SHA-256 of a large file, with git's own hash of any other."""
    if file.lfs is not None:
        return file_hash(local) == file.lfs.sha256
    digest = hashlib.sha1(b"blob %d\0" % local.stat().st_size, usedforsecurity=False)
    with local.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == file.blob_id


def quiet_downloads() -> AbstractContextManager[object]:
    """Keep progress bars out of log files; on a terminal, or where the user has decided, nothing changes."""
    decided = constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
    return nullcontext() if decided or sys.stderr.isatty() else disable_progress_bars()


@contextmanager
def hub_errors(config: CorpusConfig, stored_commit: str | None) -> Iterator[None]:
    """Turn what the Hub's libraries raise into InputError or WorldError; let a full disk's OSError pass.

    `stored_commit` is a commit of the data set that the store holds already: a way on when the Hub is away.
    """
    dataset = f"corpus.dataset={config.dataset}"
    try:
        yield
    except HFValidationError:
        raise InputError(f"{dataset}: no name of a Hub data set; write owner/name, or captions") from None
    except RevisionNotFoundError:
        raise InputError(
            f"corpus.revision={config.revision}: {config.dataset} has no such branch, tag or commit; "
            "correct it, or set corpus.revision=main"
        ) from None
    except GatedRepoError:
        raise InputError(
            f"{dataset}: gated; ask for access on its page of the Hub, then log in (`hf auth login`, or set HF_TOKEN)"
        ) from None
    except (RepositoryNotFoundError, DisabledRepoError):
        raise InputError(
            f"{dataset}: the Hub has no such data set, or it is private; correct the name, "
            "or log in (`hf auth login`, or set HF_TOKEN)"
        ) from None
    # The Hub's own errors of status 5xx and the like are OSErrors too; they are caught here by their other base.
    except (httpx.HTTPError, ConnectionError, LocalEntryNotFoundError) as error:
        ways = ["try again", "set corpus.path=FOLDER to a local copy"]
        if stored_commit is not None:
            ways.append(f"set corpus.revision={stored_commit}, which the store holds")
        raise WorldError(
            f"{dataset}: cannot get corpus.revision={config.revision} from {HfApi().endpoint} ({reason(error)}); "
            f"{', '.join(ways[:-1])}, or {ways[-1]}"
        ) from error


def reason(error: BaseException) -> str:
    """Return the kind and the first line of what is at the bottom of an exception."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")
