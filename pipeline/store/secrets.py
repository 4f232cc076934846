"""Secrets that are made once, and kept where only their owner reads."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from pipeline.store.whole_files import make_private, tighten


def kept_secret(path: Path, prefix: str = "") -> str:
    """Return the secret in a file; if there is none, make one first, after `prefix`.

    Nobody but its owner can read the file, not even for a moment; of two processes that make it, both return the same.
    """
    if not content(path):
        make_private(path.parent)
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
    tighten(path)
    return content(path)


def content(path: Path) -> str:
    """Return what is in a secret's file; nothing if there is none."""
    try:
        return path.read_text("utf8").strip()
    except FileNotFoundError:
        return ""
