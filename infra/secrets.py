"""Secrets of this machine's servers: given in the environment, or made once and kept where only their owner reads."""

import os
from pathlib import Path

from pipeline.errors import InputError
from pipeline.store.secrets import content, kept_secret

PREFECT_SERVER_AUTH, PREFECT_AUTH = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
"""What Prefect's server and its clients read; both hold `user:password`."""
PREFECT_AUTH_FILE = "prefect-auth"
"""In the stack's folder."""


def make_prefect_auth(folder: Path) -> None:
    """Prepare the secret of a Prefect server that is about to start: the environment's, else one kept in `folder`."""
    if os.environ.get(PREFECT_SERVER_AUTH):
        (folder / PREFECT_AUTH_FILE).unlink(missing_ok=True)
    else:
        kept_secret(folder / PREFECT_AUTH_FILE, "nmt:")


def prefect_auth(folder: Path) -> str:
    """Return the secret of the stack's Prefect server: the one that is kept, which is there if the server has it.

    Raises InputError if the server was started with one from the environment, and this environment has none.
    """
    found = content(folder / PREFECT_AUTH_FILE) or os.environ.get(PREFECT_SERVER_AUTH) or os.environ.get(PREFECT_AUTH)
    if not found:
        raise InputError(f"{PREFECT_AUTH}: it is not set, and the servers were started with a secret of yours; set it")
    return found


def is_kept(folder: Path) -> bool:
    """Return whether the secret of the stack's Prefect server is one that was made for it."""
    return (folder / PREFECT_AUTH_FILE).exists()


def ray_token() -> str:
    """Return the token of this machine's Ray clusters: RAY_AUTH_TOKEN, or what is in the file that Ray reads.

    Ray would create that file too, but readable by every user of the machine.
    """
    given = os.environ.get("RAY_AUTH_TOKEN")
    return given or kept_secret(Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"))


def check_prefect_auth(auth: str) -> None:
    """Raise InputError for a secret of Prefect's server that it could not be asked for."""
    user, colon, password = auth.partition(":")
    if not (user and colon and password):
        raise InputError(f"{PREFECT_SERVER_AUTH}: it is not of the form user:password; give both")
