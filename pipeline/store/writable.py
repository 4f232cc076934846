"""Whether files can be made in a folder: asked before a run begins, and without making anything."""

import os
from pathlib import Path

from pipeline.errors import InputError
from pipeline.store.storage import home


def check_home() -> None:
    """Raise InputError if `$NMT_HOME` is no folder, or cannot be written."""
    reason = obstacle(home())
    if reason is not None:
        raise InputError(
            f"NMT_HOME={os.environ.get('NMT_HOME') or home()}: {reason}; name a folder that can be written"
        )


def obstacle(folder: Path) -> str | None:
    """Return why files cannot be made in a folder, which need not exist yet; None if they can be."""
    found = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
    if not found.is_dir():
        return f"{found} is a file"
    return None if os.access(found, os.W_OK | os.X_OK) else f"{found} cannot be written"
