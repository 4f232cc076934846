"""Whether files can be made in a folder, and whose it is: asked before a run begins, and without making anything."""

import os
import pwd
import stat
from pathlib import Path

from pipeline.errors import InputError
from pipeline.store.storage import home
from pipeline.store.whole_files import tighten


def check_home() -> None:
    """Raise InputError if `$NMT_HOME` is no folder or cannot be written, or a default one is another user's.

    It is closed to other users. What is in a home says which models, which are code, run, and where servers are:
    another user's `.nmt` in a shared folder is used only by who names it.
    """
    if not os.environ.get("NMT_HOME") and (user := foreign_owner(home())):
        raise InputError(f"{home()}: it belongs to {user}; set NMT_HOME to a folder of your own, or to this one")
    reason = obstacle(home())
    if reason is not None:
        raise InputError(
            f"NMT_HOME={os.environ.get('NMT_HOME') or home()}: {reason}; name a folder that can be written"
        )
    close_home()
    # Its kernels' machine code, for this process and all that it starts; model/kernels/load.py reads it.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(home() / "compiled"))


def close_home() -> None:
    """Take `$NMT_HOME`, if it is there and this user's, from all others: older versions left it open to them.

    Folders that hold more than this program's files, as /tmp or a user's own does, are left alone.
    """
    folder = home()
    shared = folder.exists() and folder.stat().st_mode & stat.S_ISVTX
    if not shared and not Path.home().resolve().is_relative_to(folder):
        tighten(folder)


def foreign_owner(path: Path) -> str | None:
    """Return the name of the user that a file or folder belongs to; None if it is this one, or does not exist."""
    try:
        owner = path.stat().st_uid
    except FileNotFoundError:
        return None
    if owner == os.geteuid():
        return None
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"


def obstacle(folder: Path) -> str | None:
    """Return why files cannot be made in a folder, which need not exist yet; None if they can be."""
    found = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
    if not found.is_dir():
        return f"{found} is a file"
    return None if os.access(found, os.W_OK | os.X_OK) else f"{found} cannot be written"
