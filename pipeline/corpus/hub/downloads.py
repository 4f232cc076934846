"""Downloads from the Hub into its own cache, each checked before it is there, and continued where it broke.

The Hub's client begins a file anew in every process, and keeps whatever arrives. Its cache has a layout that it
promises: `blobs/` holds the files by the hash that the commit has of them. So each is fetched and checked here, and
given to the cache under its hash, where the client and `datasets` find it.
"""

import hashlib
import logging
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.hf_api import RepoFile

from pipeline.corpus.hub.internals import (
    AWAY,
    HubError,
    build_hf_headers,
    cache_folder,
    get_session,
    hf_raise_for_status,
)
from pipeline.corpus.hub.patience import Patience, patiently
from pipeline.errors import ExternalError

PATHS_PER_REQUEST = 100
SECONDS_OF_SILENCE = 30.0
CHUNK = 1 << 20
PARTIAL_CONTENT = 206
REPORT_SECONDS = 0.5
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Fetched:
    """A file of a commit, checked."""

    path: str
    """In the data set."""
    local: Path
    sha256: str


@dataclass(frozen=True)
class _Digests:
    sha256: str
    git: str

    def are_of(self, file: RepoFile) -> bool:
        """Compare them with those of the commit."""
        return _hash(file) == (self.git if file.lfs is None else self.sha256)


def list_files(dataset: str, commit: str, paths: Sequence[str]) -> list[RepoFile]:
    """Return those of the paths that are files of a commit, with their sizes and hashes."""
    api, found = HfApi(), list[RepoFile]()
    for start in range(0, len(paths), PATHS_PER_REQUEST):
        wanted = list(paths[start : start + PATHS_PER_REQUEST])
        ask = partial(api.get_paths_info, dataset, wanted, revision=commit, repo_type="dataset")
        listed = patiently(dataset, ask)
        found += [file for file in listed if isinstance(file, RepoFile)]
    for file in found:
        if HASH.fullmatch(_hash(file)) is None:  # It becomes the name of a file.
            raise ExternalError(f"corpus.dataset={dataset}: the Hub says that the hash of {file.path} is {_hash(file)}")
    return found


def fetch_files(dataset: str, commit: str, paths: Sequence[str]) -> list[Fetched]:
    """Download files of a commit into the Hub's cache (`$HF_HOME`) and check each against the commit's hashes.

    Cached files are not downloaded again, but checked. A file that differs from the commit's is not kept, and is asked
    for once more. Raises ExternalError if it differs again, if the commit has no such file, or if the disk has no room
    for them; what has arrived of the others stays, and the next call goes on from there.
    """
    files = {file.path: file for file in list_files(dataset, commit, paths)}
    for path in paths:
        if path not in files:
            raise ExternalError(_differs(dataset, path, commit))
    folder = cache_folder(dataset)
    missing = sum(file.size - _arrived(folder, file) for file in files.values())
    _check_room(dataset, folder, missing)
    progress = _Progress(dataset, len(files), missing)
    return [_fetch(dataset, commit, files[path], folder, progress) for path in paths]


def _differs(dataset: str, path: str, commit: str) -> str:
    return (
        f"corpus.dataset={dataset}: the downloaded {path} differs from commit {commit}; "
        "try again, or set corpus.path=FOLDER to a local copy"
    )


def _hash(file: RepoFile) -> str:
    """Return the hash that a file has in its commit: SHA-256 for a file in LFS, git's own for any other."""
    return file.lfs.sha256 if file.lfs is not None else file.blob_id


def _blob(folder: Path, file: RepoFile) -> Path:
    return folder / "blobs" / _hash(file)


def _partial(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")


def _arrived(folder: Path, file: RepoFile) -> int:
    blob = _blob(folder, file)
    with suppress(FileNotFoundError):
        return file.size if blob.exists() else min(file.size, _partial(blob).stat().st_size)
    return 0


def _check_room(dataset: str, folder: Path, size: int) -> None:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if size > (free := shutil.disk_usage(place).free):
        raise ExternalError(
            f"corpus.dataset={dataset}: {_size(size)} are to be downloaded, and {place} has {_size(free)} left; "
            "free some, or set HF_HOME to a folder on another disk"
        )


def _fetch(dataset: str, commit: str, file: RepoFile, folder: Path, progress: "_Progress") -> Fetched:
    blob = _blob(folder, file)
    for last in (False, True):
        digests = None if blob.exists() else _download(dataset, commit, file, blob, progress)
        if blob.exists():
            ask = partial(HfApi().hf_hub_download, dataset, file.path, repo_type="dataset", revision=commit)
            local = Path(patiently(dataset, ask))  # Gives the file in the cache its name.
            if digests is None or local.resolve() != blob.resolve():  # A mirror may call it otherwise.
                digests = _digests(local)
            if digests.are_of(file):
                return Fetched(file.path, local, digests.sha256)
            local.resolve().unlink(missing_ok=True)
            local.unlink(missing_ok=True)
        if not last:
            logging.getLogger(__name__).warning(
                "%s: %s arrived with another hash than commit %s has; asking once more", dataset, file.path, commit
            )
    raise ExternalError(_differs(dataset, file.path, commit))


def _download(dataset: str, commit: str, file: RepoFile, blob: Path, progress: "_Progress") -> _Digests | None:
    """Bring a file into the cache and return its hashes; None if they are not the commit's: then it is not kept."""
    locks = Path(HF_HUB_CACHE) / ".locks" / blob.parent.parent.name
    for folder in (locks, blob.parent):
        folder.mkdir(parents=True, exist_ok=True)
    arriving = _partial(blob)
    with FileLock(locks / f"{blob.name}.lock"):  # Where the client has its own.
        if not blob.exists():
            _receive(dataset, commit, file, arriving, progress)
            digests = _digests(arriving)
            if not digests.are_of(file):
                arriving.unlink()
                return None
            arriving.replace(blob)
            return digests
    return _digests(blob)  # Another process has brought it.


def _receive(dataset: str, commit: str, file: RepoFile, arriving: Path, progress: "_Progress") -> None:
    """Write what is missing of a file, in as many requests as it takes."""
    url = hf_hub_url(dataset, file.path, repo_type="dataset", revision=commit)
    patience = Patience(f"{dataset}: {file.path}", AWAY)
    arriving.touch()
    while (have := arriving.stat().st_size) < file.size:
        try:
            asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            with get_session().stream(
                "GET", url, headers=build_hf_headers(headers=asked), timeout=SECONDS_OF_SILENCE
            ) as response:
                hf_raise_for_status(response)
                going_on = response.status_code == PARTIAL_CONTENT
                if not going_on:
                    progress.add(-have)
                with arriving.open("ab" if going_on else "wb") as out:
                    for chunk in response.iter_bytes():  # As they come: what is held back when it breaks is lost.
                        out.write(chunk)
                        progress.add(len(chunk))
                        patience.restore()
        except (HubError, OSError) as error:
            patience.wait(error)
        else:
            break  # Of another size it has another hash.


def _digests(path: Path) -> _Digests:
    sha256 = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            git.update(chunk)
    return _Digests(sha256.hexdigest(), git.hexdigest())


class _Progress:
    """Tells how much of a download has arrived, now and then."""

    def __init__(self, dataset: str, files: int, size: int) -> None:
        self._dataset, self._size, self._arrived, self._told = dataset, size, 0, time.monotonic()
        if size:
            _tell("%s: %s to download, in %d file%s", dataset, _size(size), files, "s" * (files > 1))

    def add(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._arrived += size
        if time.monotonic() > self._told + REPORT_SECONDS:
            self._told = time.monotonic()
            _tell("%s: %s of %s", self._dataset, _size(self._arrived), _size(self._size))


def _tell(text: str, *what: object) -> None:
    logging.getLogger(__name__).info(text, *what)


def _size(size: float) -> str:
    """Return a number of bytes in words: 1.2 GB."""
    for unit in UNITS[:-1]:
        if size < 999.5:  # Rounds to less than 1,000.
            return f"{size:.0f} {unit}" if unit == UNITS[0] else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} {UNITS[-1]}"
