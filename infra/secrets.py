"""Secrets of this machine's servers: given in the environment, or made once and kept where only their owner reads."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from pipeline.errors import InputError

PREFECT_SERVER_AUTH, PREFECT_AUTH = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
"""What Prefect's server and its clients read; both hold `user:password`."""
PREFECT_FILE = "prefect-auth"
"""In the stack's folder."""


def make_prefect_auth(folder: Path) -> None:
    """Prepare the secret of a Prefect server that is about to start: the environment's, else one kept in `folder`."""
    if os.environ.get(PREFECT_SERVER_AUTH):
        (folder / PREFECT_FILE).unlink(missing_ok=True)
    else:
        kept_secret(folder / PREFECT_FILE, "nmt:")


def prefect_auth(folder: Path) -> str:
    """Return the secret of the stack's Prefect server.

    Raises InputError if the server was started with one from the environment, and this environment has none.
    """
    found = os.environ.get(PREFECT_SERVER_AUTH) or _content(folder / PREFECT_FILE) or os.environ.get(PREFECT_AUTH)
    if not found:
        raise InputError(f"{PREFECT_AUTH}: it is not set, and the servers were started with a secret of yours; set it")
    return found


def is_kept(folder: Path) -> bool:
    """Return whether the secret of the stack's Prefect server is one that was made for it."""
    return (folder / PREFECT_FILE).exists()


def ray_token() -> str:
    """Return the token of this machine's Ray clusters: RAY_AUTH_TOKEN, or what is in the file that Ray reads.

    Ray would create that file too, but readable by every user of the machine.
    """
    given = os.environ.get("RAY_AUTH_TOKEN")
    return given or kept_secret(Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"))


def kept_secret(path: Path, prefix: str = "") -> str:
    """Return the secret in a file; if there is none, make one first, after `prefix`.

    Nobody but its owner can read the file, not even for a moment; of two processes that make it, both return the same.
    """
    if not _content(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # With mode 0600.
        try:
            with os.fdopen(descriptor, "w", encoding="utf8") as file:
                file.write(prefix + token_hex(32))
            if path.exists():  # Empty: its maker was killed.
                Path(name).replace(path)
            else:
                with suppress(FileExistsError):  # Another process was first.
                    os.link(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    path.chmod(0o600)
    return _content(path)


def _content(path: Path) -> str:
    try:
        return path.read_text("utf8").strip()
    except FileNotFoundError:
        return ""


def check_prefect_auth(auth: str, name: str = PREFECT_SERVER_AUTH) -> None:
    """Raise InputError for a secret of Prefect's server that it could not be asked for."""
    user, colon, password = auth.partition(":")
    if not (user and colon and password):
        raise InputError(f"{name}: it is not of the form user:password; give both")
