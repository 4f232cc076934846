"""The epochs of a training with noise, one after the other."""

from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.noise.noise import Noise, NoisyEpoch, Sides


class NoisyEpochs:
    """Has the epoch that is trained on; the next one can be made by a thread meanwhile."""

    def __init__(self, noise: Noise, sides: Sides) -> None:
        """Take the encoded training pairs."""
        self._noise, self._sides = noise, sides
        self._made: tuple[int, NoisyEpoch] | None = None
        self._coming: tuple[int, Future[NoisyEpoch]] | None = None
        self._thread = ThreadPoolExecutor(1, "noise")

    def get(self, epoch: int) -> NoisyEpoch:
        """Return an epoch, made now unless it is there."""
        if self._made is None or self._made[0] != epoch:
            coming, self._coming = self._coming, None
            is_coming = coming is not None and coming[1].exception() is None and coming[0] == epoch
            self._made = (epoch, coming[1].result() if coming and is_coming else self._make(epoch))
        return self._made[1]

    def begin(self, epoch: int) -> None:
        """Make an epoch in the background, if no thread does so already."""
        if self._coming is None:
            self._coming = (epoch, self._thread.submit(self._make, epoch))

    def _make(self, epoch: int) -> NoisyEpoch:
        return self._noise.epoch(self._sides, epoch)
