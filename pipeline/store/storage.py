"""Files of this machine in `$NMT_HOME`, and files that machines share in `$NMT_STORAGE` [pyarrow.fs].

    $NMT_STORAGE/store          artifacts; each machine's $NMT_HOME/store is a cache of them (see store.py)
    $NMT_STORAGE/ray            checkpoints of unfinished trainings (see cluster/run_folder.py)
    $NMT_STORAGE/mlartifacts    MLflow's artifacts
    $NMT_STORAGE/translations   answers of bulk translations (see serving/bulk_translation.py)

It is an absolute path, file:///folder or s3://bucket/folder. Every process reads the keys of S3 from its environment:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are never written or sent anywhere. AWS_REGION and, for
servers other than Amazon's, AWS_ENDPOINT_URL are passed on to the nodes of a cluster.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from errno import ENOENT
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from pipeline.errors import ExternalError, InputError
from pipeline.store.whole_files import make_private, replacing, write_shards, write_whole

CONNECT_SECONDS, REQUEST_SECONDS = 5, 10
"""Per attempt, of three: a server that does not answer is an error within a minute."""
CHUNK_BYTES = 16 * 2**20
"""Files are copied to and from S3 in chunks of this size."""
WAYS = "use an absolute path, file:///folder or s3://bucket/folder"
DENIED = "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on every node"
REASONS = {
    "NETWORK_CONNECTION": "no server answers",
    "ACCESS_DENIED": DENIED,
    "INVALID_ACCESS_KEY_ID": DENIED,
    "SIGNATURE_DOES_NOT_MATCH": DENIED,
    "NO_SUCH_BUCKET": "there is no such bucket; create it",
    "allow_bucket_creation": "there is no such bucket; create it",
}
"""What the codes in the library's messages mean."""


def home() -> Path:
    """Return `$NMT_HOME` as an absolute path; default: .nmt in the working directory.

    Raises InputError for a path that is read as another: SQLite's addresses end at a question mark, and MLflow takes
    %41 for an A.
    """
    given = os.environ.get("NMT_HOME") or ".nmt"
    try:
        path = Path(given).expanduser().resolve()
    except RuntimeError as error:  # A user who does not exist; a link to itself.
        raise InputError(f"NMT_HOME={given}: {error}; name a folder") from None
    if "?" in str(path) or unquote(str(path)) != str(path):
        raise InputError(f"NMT_HOME={given}: SQLite or MLflow would misread {path}; name one without ? and % in it")
    return path


def storage_uri() -> str | None:
    """Return `$NMT_STORAGE` as a URI; None if everything is in `$NMT_HOME`.

    Raises InputError for an address that does not mean the same on all machines.
    """
    value = os.environ.get("NMT_STORAGE")
    if not value:
        return None
    if "://" not in value:
        return _local_uri(value, Path(value))
    parts = urlsplit(value)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return _local_uri(value, Path(unquote(parts.path)))
    if parts.scheme != "s3":
        raise InputError(f"NMT_STORAGE={value}: unknown kind of address; {WAYS}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"NMT_STORAGE={value}: keys and options in it would show in logs; "
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
        )
    if not parts.netloc:
        raise InputError(f"NMT_STORAGE={value}: the bucket's name is missing; use s3://bucket/folder")
    return "/".join(["s3:/", parts.netloc, *(name for name in parts.path.split("/") if name)])


def _local_uri(value: str, path: Path) -> str | None:
    if not path.is_absolute():
        raise InputError(f"NMT_STORAGE={value}: a relative path means another folder in every process; {WAYS}")
    return None if path.resolve() == home() else path.resolve().as_uri()


def check_storage() -> None:
    """Raise InputError if `$NMT_STORAGE` or AWS_ENDPOINT_URL is not valid. Contacts no server."""
    uri, endpoint = storage_uri(), _endpoint()
    if uri is not None and uri.startswith("s3:") and endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(f"AWS_ENDPOINT_URL={endpoint}: not a server's address; use http://host:port")


def artifacts_uri() -> str:
    """Return the URI of MLflow's artifacts."""
    return f"{storage_uri() or home().as_uri()}/mlartifacts"


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class Folder:
    """A folder on this machine or in S3. Can be sent to other nodes, which use the keys of their own environment.

    Its methods raise ExternalError, in one line that names the folder, if S3 fails, and OSError if a disk does.
    """

    uri: str
    path: str
    """Its path in the file system."""
    filesystem: Any
    named_by: str = "NMT_STORAGE: "
    """The beginning of messages: where its address comes from."""

    def __truediv__(self, name: str) -> "Folder":
        return replace(self, uri=f"{self.uri}/{name}", path=f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def local(self) -> Path | None:
        """Its path if it is on a (possibly mounted) disk of this machine, else None."""
        return Path(self.path) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def names(self) -> list[str]:
        """Return the names of the files and folders in it, sorted; none if it does not exist."""
        with self._failures():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def folders(self) -> list["Folder"]:
        """Return the folders in it, sorted by name."""
        with self._failures():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return [self / name for name in sorted(info.base_name for info in found if not info.is_file)]

    def has(self, name: str) -> bool:
        """Return whether it contains a file with this name."""
        with self._failures():
            return bool(self.filesystem.get_file_info(f"{self.path}/{name}").is_file)

    def usage(self, name: str) -> tuple[int, float]:
        """Return the bytes of a file, or of all below a folder, and when the newest was written; zeros for nothing."""
        with self._failures():
            found = self.filesystem.get_file_info(f"{self.path}/{name}")
            below = fs.FileSelector(f"{self.path}/{name}", allow_not_found=True, recursive=True)
            files = [found] if found.is_file else [i for i in self.filesystem.get_file_info(below) if i.is_file]
        return sum(file.size for file in files), max((file.mtime.timestamp() for file in files), default=0.0)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self._failures(), self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            content: bytes = stream.read()
        return content

    @contextmanager
    def open(self, name: str, seekable: bool = False) -> Iterator[Any]:
        """Open a file as a stream of bytes; `seekable` if its reader jumps back and forth."""
        with self._failures():
            path = f"{self.path}/{name}"
            # Without compression=None, Arrow decompresses by suffix.
            opened = (
                self.filesystem.open_input_file(path)
                if seekable
                else self.filesystem.open_input_stream(path, compression=None)
            )
        with opened as stream:
            yield stream

    def write(self, name: str, content: bytes) -> None:
        """Write a file, completely or not at all."""
        path = f"{self.path}/{name}"
        with self._failures():
            if self.local is None:
                with self.filesystem.open_output_stream(path, compression=None) as stream:
                    stream.write(content)
                return
            self.local.mkdir(parents=True, exist_ok=True)
            write_whole(Path(path), content)

    def upload(self, file: Path, name: str) -> None:
        """Copy a file of this machine into the folder, completely or not at all; the name may contain subfolders."""
        target = f"{self.path}/{name}"
        with self._failures():
            if self.local is not None:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                with replacing(Path(target)) as temporary:
                    shutil.copyfile(file, temporary)
                return
            # One thread: uploads that share Arrow's pool can deadlock (apache/arrow#32372).
            disk = fs.LocalFileSystem()
            fs.copy_files(str(file), target, disk, self.filesystem, chunk_size=CHUNK_BYTES, use_threads=False)

    def download(self, name: str, file: Path) -> None:
        """Copy a file of the folder to this machine, from S3 in shards."""
        make_private(file.parent)
        with self._failures():
            if self.local is not None:
                shutil.copyfile(f"{self.path}/{name}", file)
                return
            with self.filesystem.open_input_file(f"{self.path}/{name}") as stream:
                write_shards(stream.read_at, stream.size(), file)

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with its content, if it exists."""
        path = f"{self.path}/{name}"
        with self._failures(), suppress(FileNotFoundError):
            kind = self.filesystem.get_file_info(path).type
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(path)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(path)

    def rename(self, name: str, new: str) -> None:
        """Rename a folder in it."""
        old = f"{self.path}/{name}"
        with self._failures():
            if self.local is not None:
                self.filesystem.move(old, f"{self.path}/{new}")
                return
            # S3 has no folders, only files with long names.
            for found in self.filesystem.get_file_info(fs.FileSelector(old, recursive=True)):
                if found.is_file:
                    self.filesystem.move(found.path, f"{self.path}/{new}{found.path.removeprefix(old)}")
            self.filesystem.delete_dir(old)

    def explained(self, error: OSError) -> Exception:
        """Return what to raise for an error of its file system: an ExternalError for S3, else the error itself."""
        if self.local is not None or error.errno not in {None, ENOENT}:
            return error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = next((reason for code, reason in REASONS.items() if code in lines[0]), lines[0])
        return ExternalError(
            f"{self.named_by}{self.uri}: {reason}; fix this and run the same command again: finished stages are kept"
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.explained(error) from error


def shared_folder(name: str) -> Folder | None:
    """Return `$NMT_STORAGE/<name>`; None if it is not set."""
    uri = storage_uri()
    if uri is None:
        return None
    check_storage()
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return local_folder(Path(unquote(parts.path)) / name)
    return Folder(f"{uri}/{name}", f"{uri.removeprefix('s3://')}/{name}", _s3())


def folder_and_name(given: str) -> tuple[Folder, str]:
    """Return the folder and the name of a file given by a path or an s3:// address.

    Raises InputError for other addresses.
    """
    if "://" not in given:
        path = Path(given).expanduser().absolute()
        return local_folder(path.parent), path.name
    parts = urlsplit(given)
    key = "/".join(name for name in parts.path.split("/") if name)
    if parts.scheme != "s3" or "@" in parts.netloc or not parts.netloc or not key:
        raise InputError(f"{given}: use a path, or s3://bucket/name with keys in the environment")
    path_in, _, name = f"{parts.netloc}/{key}".rpartition("/")
    return Folder(f"s3://{path_in}", path_in, _s3(), ""), name


def local_folder(path: Path) -> Folder:
    """Return a folder of this machine."""
    return Folder(path.as_uri(), str(path), fs.LocalFileSystem())


def _s3() -> fs.S3FileSystem:
    endpoint = _endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    # Servers other than Amazon's have no regions, but their signatures contain one.
    return fs.S3FileSystem(
        region=region or ("us-east-1" if endpoint else None),
        endpoint_override=endpoint,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
    )
