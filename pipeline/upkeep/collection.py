"""What can go from the store of this machine: what no registered model and no run needs. Copies elsewhere stay."""

import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from filelock import FileLock, Timeout

from pipeline.upkeep.inventory import Stored


@dataclass(frozen=True)
class Collection:
    """What may be removed, and what is left of what nobody needs."""

    removable: Sequence[Stored]
    young: Sequence[Stored]
    """Needed by nobody that is known, but made lately."""
    used: Sequence[Stored]
    """What a run uses or can go on with."""
    needed: Sequence[Stored]
    """What registered models were made from."""


def collect(artifacts: Iterable[Stored], everything: bool = False) -> Collection:
    """Sort the artifacts of this machine by whether they can go.

    `everything` lets go what registered models were made from, too. What cannot be read serves nobody, and may go.
    """
    removable, young, used, needed = [], [], [], []
    for artifact in artifacts:
        if artifact.path is None:
            continue
        if artifact.used_by:
            used.append(artifact)
        elif artifact.needed_by and not everything and not artifact.damaged:
            needed.append(artifact)
        elif artifact.young:
            young.append(artifact)
        else:
            removable.append(artifact)
    return Collection(removable, young, used, needed)


def remove(artifacts: Iterable[Stored]) -> list[Stored]:
    """Delete artifacts, and return those that were deleted: what a run has begun to use since is left."""
    return [artifact for artifact in artifacts if _remove(artifact)]


def _remove(artifact: Stored) -> bool:
    folder = artifact.path
    assert folder is not None
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            # Gone at once, and what is left after a kill bears the name by which `nmt clean` knows it.
            aside = folder.with_name(f".{folder.name[:12]}-{socket.gethostname()}-{os.getpid()}-gone")
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    except Timeout:
        return False
    except FileNotFoundError:  # Another process was faster.
        return False
    return True
