"""Secrets that are made once, and kept where only their owner reads."""

from pathlib import Path
from secrets import token_hex

from filelock import FileLock

from pipeline.store.whole_files import make_private, replacing, tighten


def kept_secret(path: Path, prefix: str = "") -> str:
    """Return the secret in a file; if there is none, make one first, after `prefix`.

    Nobody but its owner can read the file, not even for a moment; of two processes that make it, both return the same.
    """
    if not content(path):
        make_private(path.parent)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not content(path):  # Another process may have been first.
                with replacing(path) as temporary:
                    temporary.touch(mode=0o600)
                    temporary.write_text(prefix + token_hex(32), "utf8")
    tighten(path)
    return content(path)


def content(path: Path) -> str:
    """Return what is in a secret's file; nothing if there is none."""
    try:
        return path.read_text("utf8").strip()
    except FileNotFoundError:
        return ""
