"""How near training comes to what its machine can do: the time of its matrix products alone."""

from model.config import ModelConfig
from model.decoder import plain_loop_because
from pipeline.config import RunConfig
from pipeline.training.hooks import Share
from pipeline.training.machine.matmul import Shape, matmul_seconds, operations

MEASURED_SECONDS = 0.02
"""Per product: with about thirty of them, training starts a second later."""


def shape_of(share: Share) -> Shape:
    """Return the sizes of a share, which set the shapes of its products."""
    source_BS, target_BT = share.batch.source_BS, share.batch.target_BT
    return Shape(source_BS.shape[0], source_BS.shape[1], target_BT.shape[1] - 1, share.tokens)


class SpeedLimit:
    """Estimates how long a share's products take alone, from their operations and the rate of the first share's."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        self._config, self._vocabulary = config, vocabulary
        self._rate = 0.0

    def seconds(self, share: Share) -> float:
        """Return the time of the share's products on this process's threads; the first call measures their rate."""
        shape = shape_of(share)
        count = operations(self._config, self._vocabulary, shape)
        if not self._rate:
            device = share.rows.device
            self._rate = count / matmul_seconds(self._config, self._vocabulary, shape, device, MEASURED_SECONDS)
        return count / self._rate


def step_by_step_because(run: RunConfig) -> str | None:
    """Return the option that makes training run the decoder's plain loop, step by step; None where it does not."""
    if run.training.teacher_forcing < 1.0 and not plain_loop_because(run.model):
        return f"teacher_forcing={run.training.teacher_forcing}"
    return plain_loop_because(run.model)
