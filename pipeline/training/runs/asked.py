"""Who asks for a training: the command, and the tracker that it logs to."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.config import RunConfig


class Tracker(Protocol):
    """Where the records of a training are logged, beside its file."""

    @property
    def id(self) -> str:
        """What names it to other commands."""

    def follows(self, other: str) -> None:
        """Take it that another command makes the training now, and logs to the tracker `other`."""

    def leads(self) -> AbstractContextManager[None]:
        """Take it that this command makes the training, for as long as the context lasts."""


class Untracked:
    """Logs nowhere."""

    id = ""

    def follows(self, other: str) -> None:
        """Do nothing."""

    @contextmanager
    def leads(self) -> Iterator[None]:
        """Do nothing."""
        yield


@dataclass(frozen=True)
class Asked:
    """The command that asks for a training, for `nmt runs` and for commands that ask for the same one."""

    command: Sequence[str] = ()
    """In words, without secrets; given again, it continues the training."""
    system: str = ""
    """What the training is for, if the command makes several."""
    tracker: Tracker = field(default_factory=Untracked)

    def name(self, run: RunConfig) -> str:
        """Return the name of the training for people."""
        model = run.registry.model_name or run.name
        return f"{model}: {self.system}" if self.system else model
