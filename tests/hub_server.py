"""A Hugging Face Hub on the loopback: enough of its protocol for the real client to resolve, list and download."""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]
TOKEN = "hf_of_the_loopback"  # noqa: S105 # Of this server alone.
"""Who sends it may read what is private."""


@dataclass
class Repository:
    """A data set's commits and branches, what the Hub lies about, and how it fails."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    downloads_fail: bool = False
    claimed_commit: str | None = None
    private: bool = False
    tampered: Files = field(default_factory=dict)
    tampered_answers: int | None = None
    """How often `tampered` is answered; None: always."""
    breaks_after: dict[str, list[int]] = field(default_factory=dict)
    """By file, after how many bytes of the next answers with its content the connection is closed."""
    closes: bool = False
    """Whether it asks to be left alone for an hour after a connection was closed."""
    busy: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    """The next answers, each a status and headers, before it is as usual again."""
    busy_from: int | None = None
    """After so many more requests it is busy once."""
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    """What it says of the sizes of files."""
    claimed_hashes: dict[str, str] = field(default_factory=dict)
    """And of their hashes."""
    moves_to: str | None = None
    """The commit that main is moved to once it has been asked for."""

    def is_busy(self) -> bool:
        """Return whether this is the request that meets a busy Hub; the others are counted."""
        if self.busy_from is None:
            return False
        self.busy_from -= 1
        return self.busy_from == -1


class HubServer:
    """Serves repositories at a fixed port; can be stopped and started again."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []
        """Of requests for a part of a file."""
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler_of(self))
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port: connections are refused from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def publish(self, name: str, files: Files, branch: str = "main") -> str:
        """Commit files to a branch and return the commit."""
        repository = self.repositories.setdefault(name, Repository())
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode(), usedforsecurity=False).hexdigest()
        repository.commits[commit] = files
        repository.branches[branch] = commit
        return commit


def handler_of(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._route(b"")

        def do_HEAD(self) -> None:
            self._route(b"")

        def do_POST(self) -> None:
            self._route(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def log_message(self, *_: Any) -> None:
            pass

        def _route(self, body: bytes) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            kind = "api" if path.startswith("/api/datasets/") else "file"
            words = path.removeprefix("/api").removeprefix("/datasets/").split("/")
            name, words = "/".join(words[:2]), words[2:]
            repository = hub.repositories.get(name)
            token = self.headers.get("Authorization", "")
            if token not in {"", f"Bearer {TOKEN}"}:
                self._answer(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
            elif repository is None or (repository.private and not token):
                self._answer(404 if token else 401, error="RepoNotFound")
            elif repository.is_busy():
                self._answer(429, headers={"Retry-After": "0"})
            elif repository.busy:
                status, headers = repository.busy.popleft()
                self._answer(status, headers=headers)
            elif kind == "file" and repository.gated:
                self._answer(403, error="GatedRepo")
            elif kind == "file" and repository.downloads_fail:
                self._answer(501)  # Not 503, which the client tries again for half a minute.
            else:
                action, revision = words[:2] if words else ("revision", "main")
                self._serve(repository, action, revision, "/".join(words[2:]), body)

        def _serve(self, repository: Repository, action: str, revision: str, path: str, body: bytes) -> None:
            commit = repository.branches.get(revision, revision)
            files = repository.commits.get(commit)
            if files is None:
                self._answer(404, error="RevisionNotFound")
                return
            commit = repository.claimed_commit or commit
            if action == "revision":
                if repository.moves_to is not None:
                    repository.branches["main"] = repository.moves_to
                siblings = [{"rfilename": file} for file in files]
                self._json({"_id": "1", "id": "x", "sha": commit, "siblings": siblings, "private": False, "tags": []})
            elif action == "tree":
                self._json(list(listing(files, path, recursive="recursive=true" in self.path.lower())))
            elif action == "paths-info":
                wanted = parse_qs(body.decode())["paths"]
                listed = [entry(file, files[file]) for file in wanted if file in files]
                for each in listed:
                    each["size"] = repository.claimed_sizes.get(each["path"], each["size"])
                    each["oid"] = repository.claimed_hashes.get(each["path"], each["oid"])
                self._json(listed)
            elif path in files:
                self._file(repository, path, files[path], commit)
            else:
                self._answer(404, error="EntryNotFound")

        def _file(self, repository: Repository, path: str, content: bytes, commit: str) -> None:
            headers = {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit}
            if path.endswith(".parquet"):
                headers |= {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            if self.command == "GET" and path in repository.tampered and repository.tampered_answers != 0:
                content = repository.tampered[path]
                repository.tampered_answers = repository.tampered_answers and repository.tampered_answers - 1
            status, length = 200, len(content)
            if part := self.headers.get("Range"):
                hub.ranges.append(f"{path} {part}")
                start = int(part.removeprefix("bytes=").removesuffix("-"))
                status, headers["Content-Range"] = 206, f"bytes {start}-{length - 1}/{length}"
                content = content[start:]
            breaks = repository.breaks_after.get(path) if self.command == "GET" else None
            if breaks and repository.closes:
                repository.busy.append((503, {"Retry-After": "3600"}))
            self._answer(status, content, headers, sent=breaks.pop(0) if breaks else None)

        def _json(self, value: object) -> None:
            self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _answer(
            self,
            status: int,
            body: bytes = b"",
            headers: dict[str, str] | None = None,
            error: str | None = None,
            sent: int | None = None,
        ) -> None:
            """Answer; of the body, only so many bytes before the connection is closed, if `sent` is given."""
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if error is not None:
                self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:sent])
            self.close_connection = sent is not None or self.close_connection

    return Handler


def listing(files: Files, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
    """Yield what the Hub lists of a folder: its files and the folders in it."""
    prefix = f"{folder}/" if folder else ""
    folders: set[str] = set()
    for path, content in files.items():
        if path.startswith(prefix):
            inside = path.removeprefix(prefix).split("/")
            folders |= {prefix + "/".join(inside[:depth]) for depth in range(1, len(inside) if recursive else 2)}
            if recursive or len(inside) == 1:
                yield entry(path, content)
    yield from ({"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders - {*files}))


def blob_id(content: bytes) -> str:
    """Return git's own name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def entry(path: str, content: bytes) -> dict[str, Any]:
    """Return what the Hub lists of a file; those ending in .parquet are large files (LFS)."""
    listed: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    if path.endswith(".parquet"):
        sha256 = hashlib.sha256(content).hexdigest()
        listed |= {"oid": "0" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 100}}
    return listed
