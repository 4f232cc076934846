"""A Hugging Face Hub on the loopback: enough of its protocol for the real client to resolve, list and download."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """A data set's commits and branches, and what the Hub lies about."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    downloads_fail: bool = False
    claimed_commit: str | None = None
    tampered: Files = field(default_factory=dict)


class HubServer:
    """Serves repositories at a fixed port; can be stopped and started again."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
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
            if repository is None:
                self._answer(404, error="RepoNotFound")
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
                siblings = [{"rfilename": file} for file in files]
                self._json({"_id": "1", "id": "x", "sha": commit, "siblings": siblings, "private": False, "tags": []})
            elif action == "tree":
                self._json(list(listing(files, path, recursive="recursive=true" in self.path.lower())))
            elif action == "paths-info":
                wanted = parse_qs(body.decode())["paths"]
                self._json([entry(file, files[file]) for file in wanted if file in files])
            elif path in files:
                content = repository.tampered.get(path, files[path])
                self._answer(200, content, {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit})
            else:
                self._answer(404, error="EntryNotFound")

        def _json(self, value: object) -> None:
            self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _answer(
            self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, error: str | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if error is not None:
                self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

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
