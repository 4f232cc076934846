"""Where things are kept: by this machine in `$NMT_HOME`, for several machines in `$NMT_STORAGE` [pyarrow.fs].

    $NMT_STORAGE/store         artifacts; each machine's $NMT_HOME/store is then a cache in front (see store.py)
    $NMT_STORAGE/ray           what Ray keeps of a run until it is finished (see run_folder.py)
    $NMT_STORAGE/mlartifacts   what MLflow keeps of runs and models

It is an absolute path, file:///folder or s3://bucket/folder. Every process takes the keys of S3 from its environment:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are neither written nor sent anywhere. AWS_REGION and,
for another server than Amazon's, AWS_ENDPOINT_URL are sent along to the nodes of a cluster.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from errno import ENOENT
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from pipeline.errors import ExternalError, InputError

CONNECT_SECONDS, REQUEST_SECONDS = 5, 10
"""Of each of three attempts: a server that is away is an error within a minute."""
CHUNK_BYTES = 16 * 2**20
"""S3 is asked for a file in pieces of this size."""
WAYS = "give an absolute path, file:///folder or s3://bucket/folder"
DENIED = "access is denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on every node"
REASONS = {
    "NETWORK_CONNECTION": "no server answers",
    "ACCESS_DENIED": DENIED,
    "INVALID_ACCESS_KEY_ID": DENIED,
    "SIGNATURE_DOES_NOT_MATCH": DENIED,
    "NO_SUCH_BUCKET": "there is no such bucket; create it",
    "allow_bucket_creation": "there is no such bucket; create it",
}
"""What the codes in the library's long messages mean."""


def home() -> Path:
    """Return `$NMT_HOME`, by default the folder .nmt where the command is given, as an absolute path."""
    return Path(os.environ.get("NMT_HOME") or ".nmt").expanduser().resolve()


def storage_uri() -> str | None:
    """Return `$NMT_STORAGE` as a URI, or None: then everything is in `$NMT_HOME`, and nothing is copied.

    Raises InputError for what is no place that all machines can mean the same by.
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
        raise InputError(f"NMT_STORAGE={_without_user(value)}: not known; {WAYS}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"NMT_STORAGE={_without_user(value)}: keys and options have no place in it, where logs show them; "
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
        )
    if not parts.netloc:
        raise InputError(f"NMT_STORAGE={value}: the bucket's name is missing; give s3://bucket/folder")
    return "/".join(["s3:/", parts.netloc, *(name for name in parts.path.split("/") if name)])


def _local_uri(value: str, path: Path) -> str | None:
    if not path.is_absolute():
        raise InputError(f"NMT_STORAGE={value}: another folder for every process that works in another; {WAYS}")
    return None if path.resolve() == home() else path.resolve().as_uri()


def _without_user(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}".partition("?")[0]


def check_storage() -> None:
    """Raise InputError if `$NMT_STORAGE`, or what it needs, cannot be meant so; asks no server."""
    uri, endpoint = storage_uri(), _endpoint()
    if uri is not None and uri.startswith("s3:") and endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(f"AWS_ENDPOINT_URL={endpoint}: not a server's address; give http://host:port")


def artifacts_uri() -> str:
    """Return where MLflow keeps artifacts, as a URI."""
    return f"{storage_uri() or home().as_uri()}/mlartifacts"


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class Folder:
    """A folder here or in S3. It can be sent to other nodes: keys stay behind, each takes those of its environment.

    Its methods raise ExternalError where S3 fails, in one line that names the folder; OSError where a disk does.
    """

    uri: str
    path: str
    """Within the file system."""
    filesystem: Any
    named_by: str = "NMT_STORAGE: "
    """What messages begin with."""

    def __truediv__(self, name: str) -> "Folder":
        return replace(self, uri=f"{self.uri}/{name}", path=f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def local(self) -> Path | None:
        """Its path, if it is on a disk of this machine, or mounted as one."""
        return Path(self.path) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def names(self) -> list[str]:
        """Return the names of the files and folders in it, sorted; none if it is not there."""
        with self._failures():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def folders(self) -> list["Folder"]:
        """Return the folders in it, sorted by name."""
        with self._failures():
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return [self / name for name in sorted(info.base_name for info in found if not info.is_file)]

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with self._failures():
            return bool(self.filesystem.get_file_info(f"{self.path}/{name}").is_file)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self._failures(), self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            content: bytes = stream.read()
        return content

    @contextmanager
    def open(self, name: str, seekable: bool = False) -> Iterator[Any]:
        """Open a file as a stream of bytes; `seekable` where its reader goes back and forth."""
        with self._failures():
            path = f"{self.path}/{name}"
            # As it is, whatever its suffix: Arrow would unpack by itself.
            opened = (
                self.filesystem.open_input_file(path)
                if seekable
                else self.filesystem.open_input_stream(path, compression=None)
            )
        with opened as stream:
            yield stream

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        path = f"{self.path}/{name}"
        with self._failures():
            if self.local is None:
                with self.filesystem.open_output_stream(path, compression=None) as stream:
                    stream.write(content)
                return
            self.local.mkdir(parents=True, exist_ok=True)
            temporary = self.local / f".{name}.{os.getpid()}"
            try:
                temporary.write_bytes(content)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def upload(self, file: Path, name: str) -> None:
        """Copy a file of this machine into the folder, under a name that may have folders of its own."""
        target = f"{self.path}/{name}"
        with self._failures():
            if self.local is not None:
                self.filesystem.create_dir(target.rpartition("/")[0])
            # One thread: uploads that share Arrow's pool can wait for each other for ever (apache/arrow#32372).
            disk = fs.LocalFileSystem()
            fs.copy_files(str(file), target, disk, self.filesystem, chunk_size=CHUNK_BYTES, use_threads=False)

    def download(self, name: str, file: Path) -> None:
        """Copy a file of the folder to a place on this machine."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._failures():
            disk = fs.LocalFileSystem()
            fs.copy_files(f"{self.path}/{name}", str(file), self.filesystem, disk, chunk_size=CHUNK_BYTES)

    def remove(self, name: str) -> None:
        """Delete a file, or a folder and all that is in it, if there is one."""
        path = f"{self.path}/{name}"
        with self._failures(), suppress(FileNotFoundError):
            kind = self.filesystem.get_file_info(path).type
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(path)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(path)

    def rename(self, name: str, new: str) -> None:
        """Give a folder in it another name."""
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
        """Return what to raise for an error of its file system: ExternalError if it is S3's, else the error itself."""
        if self.local is not None or error.errno not in {None, ENOENT}:
            return error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = next((reason for code, reason in REASONS.items() if code in lines[0]), lines[0])
        return ExternalError(
            f"{self.named_by}{self.uri}: {reason}; give the same command again when it works: what is finished is kept"
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.explained(error) from error


def shared_folder(name: str) -> Folder | None:
    """Return `$NMT_STORAGE/<name>`, or None where only this machine's `$NMT_HOME` is used."""
    uri = storage_uri()
    if uri is None:
        return None
    check_storage()
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return local_folder(Path(unquote(parts.path)) / name)
    return Folder(f"{uri}/{name}", f"{uri.removeprefix('s3://')}/{name}", _s3())


def folder_and_name(given: str) -> tuple[Folder, str]:
    """Return the folder and the name of a file that a user has named by its path or its s3:// address.

    Raises InputError for other addresses.
    """
    if "://" not in given:
        path = Path(given).expanduser().absolute()
        return local_folder(path.parent), path.name
    parts = urlsplit(given)
    key = "/".join(name for name in parts.path.split("/") if name)
    if parts.scheme != "s3" or "@" in parts.netloc or not parts.netloc or not key:
        raise InputError(f"{_without_user(given)}: give a path, or s3://bucket/name with the keys in the environment")
    path_in, _, name = f"{parts.netloc}/{key}".rpartition("/")
    return Folder(f"s3://{path_in}", path_in, _s3(), ""), name


def local_folder(path: Path) -> Folder:
    """Return a folder of this machine."""
    return Folder(path.as_uri(), str(path), fs.LocalFileSystem())


def _s3() -> fs.S3FileSystem:
    endpoint = _endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    # Other servers than Amazon's have no regions, but sign with one.
    return fs.S3FileSystem(
        region=region or ("us-east-1" if endpoint else None),
        endpoint_override=endpoint,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
    )
