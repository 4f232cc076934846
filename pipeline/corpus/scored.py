"""What models will be scored on beside a corpus's own splits, and what becomes of training pairs that are in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.corpus.pairs import Pair
from pipeline.corpus.splits import LeakMode


@dataclass(frozen=True)
class ScoredSet:
    """Pairs that models will be scored on."""

    name: str
    fingerprint: str
    read: Callable[[], Iterable[Pair]]


@dataclass(frozen=True)
class LeakGate:
    """What is done about training pairs that are scored, too."""

    mode: LeakMode = "remove"
    sets: tuple[ScoredSet, ...] = ()
    """Beside the corpus's own validation and test pairs."""

    @property
    def inputs(self) -> dict[str, str]:
        """What a corpus depends on beside its source: the sets' fingerprints."""
        return {f"{SCORED_INPUT}{each.name}": each.fingerprint for each in self.sets}

    def read(self) -> Mapping[str, Sequence[Pair]]:
        """Return the pairs of the sets by name."""
        return {each.name: list(each.read()) for each in self.sets}


SCORED_INPUT = "scored "
"""How the names of such inputs begin."""
