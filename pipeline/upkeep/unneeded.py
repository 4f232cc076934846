"""Files of trainings that have stopped which nobody needs, and their removal."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pipeline.cluster.ray_train_internals import CHECKPOINT_PREFIX
from pipeline.cluster.run_folder import is_whole
from pipeline.errors import InputError
from pipeline.store.artifact_folder import MANIFEST, lock_of, unless_held
from pipeline.store.leftovers import IDLE_SECONDS
from pipeline.store.storage import home, shared_folder
from pipeline.store.whole_files import make_private
from pipeline.training.runs.run_record import ID_LENGTH, run_name
from pipeline.upkeep.runs import STAGE, RunFile, Training, chosen


@dataclass(frozen=True)
class Unneeded:
    """Files of a training that may be removed."""

    training: Training
    reason: str
    """Why nobody needs them."""
    files: tuple[RunFile, ...]

    @property
    def bytes(self) -> int:
        """On the disk and in the storage."""
        return sum(file.bytes for file in self.files)


def find_unneeded(trainings: Sequence[Training], ids: Sequence[str] = ()) -> list[Unneeded]:
    """Return what nobody needs of all trainings or, if ids are given, all files of these.

    Raises InputError for an id of none, of one that runs, and of one that has left nothing.
    """
    if not ids:
        return [found for training in trainings for found in _of(training) if found.files]
    named = chosen(trainings, ids)
    for training in named:
        _check_removable(training)
    return [Unneeded(training, "it was named", training.files) for training in named]


def _check_removable(training: Training) -> None:
    begin = training.fingerprint[:ID_LENGTH]
    if training.state == "running":
        raise InputError(f"{begin}: this training is running; stop it first")
    if training.state == "elsewhere" and not _is_idle(training):
        host = training.record.host if training.record else "another machine"
        raise InputError(f"{begin}: {host} may be at it, and wrote within the last day; remove it there")
    if not training.files:
        raise InputError(
            f"{begin}: this training is finished, and has left nothing but its output, which is the store's; "
            "`nmt store gc` removes what nobody needs"
        )


def _of(training: Training) -> Iterator[Unneeded]:
    if training.state == "running" or (training.state == "elsewhere" and not _is_idle(training)):
        return
    if training.state == "finished":
        yield Unneeded(training, "the training is finished", training.files)
    elif training.record is not None and not _has_batches(training.record.inputs.get("encoded", "")):
        yield Unneeded(training, "the batches that it was trained on are no longer in the store", training.files)
    elif any(_has_checkpoint(file) for file in training.files if file.name == run_name(training.fingerprint)):
        aside = tuple(file for file in training.files if file.is_aside)
        yield Unneeded(training, "damaged, and set aside; there is a checkpoint after it", aside)


def _is_idle(training: Training) -> bool:
    return training.active is None or time.time() - training.active.timestamp() > IDLE_SECONDS


def _has_batches(encoded: str) -> bool:
    if (home() / "store" / "encoded" / encoded / MANIFEST).is_file():
        return True
    shared = shared_folder(f"store/encoded/{encoded}")
    return shared is not None and shared.has(MANIFEST)


def _has_checkpoint(file: RunFile) -> bool:
    """Whether a training's own folder has a checkpoint to continue from."""
    folders = (file.storage / file.name).folders()
    return any(folder.name.startswith(CHECKPOINT_PREFIX) and is_whole(folder) for folder in folders)


def remove(found: Iterable[Unneeded]) -> list[Unneeded]:
    """Remove what was found; return what was left, since a command has begun to train it again meanwhile.

    Raises ExternalError if `$NMT_STORAGE` fails.
    """
    left = []
    for each in found:
        with _kept_from_running(each.training) as nobody_trains:
            for file in each.files if nobody_trains else ():
                file.storage.remove(file.name)
        left += [] if nobody_trains else [each]
    return left


def _kept_from_running(training: Training) -> AbstractContextManager[bool]:
    if len(training.fingerprint) <= ID_LENGTH:  # Of an older version, and with no lock: nothing has made it since.
        return nullcontext(True)
    folder = home() / "store" / STAGE / training.fingerprint
    make_private(folder.parent)
    return unless_held(lock_of(folder))
