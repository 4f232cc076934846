"""The Hugging Face Hub: resolves revisions to commits, verifies downloaded files, and explains its errors."""

import hashlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from pipeline.corpus.hub_internals import REMARKS, HubError, bars_are_decided, disable_progress_bars
from pipeline.errors import ExternalError, InputError
from pipeline.source_config import SourceConfig
from pipeline.store.artifact_folder import file_hash

COMMIT = re.compile(r"[0-9a-f]{40}")
PATHS_PER_REQUEST = 100
SECONDS_TO_ANSWER = 30.0
KNOWN = (HFValidationError, HubError, ConnectionError, LocalEntryNotFoundError)
"""Errors that come from the Hub; its answers with status 4xx and 5xx are HTTPErrors."""


def is_commit(revision: str) -> bool:
    """Return whether the revision is a full commit, which never changes its meaning."""
    return COMMIT.fullmatch(revision) is not None


def resolve_commit(dataset: str, revision: str) -> str:
    """Return the 40-digit commit that a branch, tag or commit of the Hub means now."""
    commit = HfApi().dataset_info(dataset, revision=revision, timeout=SECONDS_TO_ANSWER).sha
    if commit is None or not is_commit(commit) or (is_commit(revision) and commit != revision):
        raise ExternalError(
            f"corpus.revision={revision}: the Hub answered with commit {commit} of {dataset}; "
            "try again, or set corpus.path=FOLDER to a local copy"
        )
    return commit


def fetch_files(dataset: str, commit: str, paths: Sequence[str]) -> list[Path]:
    """Download files of a commit into the Hub's cache (`$HF_HOME`) and check each against the commit's hashes.

    Cached files are not downloaded again, but checked. Raises ExternalError for a file that differs from the commit's,
    after removing it from the cache, so that the next attempt downloads it.
    """
    api, fetched = HfApi(), list[Path]()
    for start in range(0, len(paths), PATHS_PER_REQUEST):
        wanted = list(paths[start : start + PATHS_PER_REQUEST])
        listed = api.get_paths_info(dataset, wanted, revision=commit, repo_type="dataset")
        files = {file.path: file for file in listed if isinstance(file, RepoFile)}
        for path in wanted:
            local = Path(api.hf_hub_download(dataset, path, repo_type="dataset", revision=commit))
            if path not in files or not _is_content_of(files[path], local):
                local.resolve().unlink(missing_ok=True)
                local.unlink(missing_ok=True)
                raise ExternalError(
                    f"corpus.dataset={dataset}: the downloaded {path} differs from commit {commit}; "
                    "try again, or set corpus.path=FOLDER to a local copy"
                )
            fetched.append(local)
    return fetched


def _is_content_of(file: RepoFile, local: Path) -> bool:
    """Compare SHA-256 for a file in LFS, git's own hash for any other."""
    if file.lfs is not None:
        return file_hash(local) == file.lfs.sha256
    digest = hashlib.sha1(b"blob %d\0" % local.stat().st_size, usedforsecurity=False)
    with local.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == file.blob_id


@contextmanager
def quiet_downloads() -> Iterator[None]:
    """Hide progress bars in log files, unless the user has chosen them, and remarks on data set cards.

    Messages about retried requests stay: they explain a wait.
    """
    remarks = logging.getLogger(REMARKS)
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with nullcontext() if bars_are_decided() or sys.stderr.isatty() else disable_progress_bars():
            yield
    finally:
        remarks.setLevel(level)


@contextmanager
def hub_errors(config: SourceConfig, stored_commit: str | None) -> Iterator[None]:
    """Turn what the Hub's libraries raise into InputError or ExternalError; a full disk's OSError passes.

    `stored_commit` is a commit of the data set in the store, which the message suggests when the Hub is unreachable.
    """
    try:
        yield
    except (HFValidationError, HubError, OSError) as error:
        # `datasets` wraps the Hub's errors in FileNotFoundErrors of its own; the Hub's are among their causes.
        known = next(
            (cause for cause in _causes(error) if isinstance(cause, KNOWN) and not _is_optional_file(cause)), None
        )
        if known is None:
            raise
        raise _translated(known, config, stored_commit) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_optional_file(error: BaseException) -> bool:
    """Return whether all that is missing is an optional file, such as the data set's card."""
    return isinstance(error, RemoteEntryNotFoundError)


def _translated(error: BaseException, config: SourceConfig, stored_commit: str | None) -> InputError | ExternalError:
    dataset = f"corpus.dataset={config.dataset}"
    if isinstance(error, HFValidationError):
        return InputError(f"{dataset}: not the name of a Hub data set; write owner/name, or captions")
    if isinstance(error, RevisionNotFoundError):
        return InputError(
            f"corpus.revision={config.revision}: {config.dataset} has no such branch, tag or commit; "
            "correct it, or set corpus.revision=main"
        )
    if isinstance(error, GatedRepoError):
        return InputError(
            f"{dataset}: gated; ask for access on its page of the Hub, then log in (`hf auth login`, or set HF_TOKEN)"
        )
    if isinstance(error, RepositoryNotFoundError | DisabledRepoError):
        return InputError(
            f"{dataset}: the Hub has no such data set, or it is private; correct the name, "
            "or log in (`hf auth login`, or set HF_TOKEN)"
        )
    ways = ["try again", "set corpus.path=FOLDER to a local copy"]
    if stored_commit is not None:
        ways.append(f"set corpus.revision={stored_commit}, which is in the store")
    return ExternalError(
        f"{dataset}: cannot get corpus.revision={config.revision} from {HfApi().endpoint} ({reason(error)}); "
        f"{', '.join(ways[:-1])}, or {ways[-1]}"
    )


def reason(error: BaseException) -> str:
    """Return the type and the first line of an exception's root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")
