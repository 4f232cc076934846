"""How near training comes to what its machine can do: the time of its matrix products alone."""

from model.config import ModelConfig
from model.decoder import plain_loop_because
from model.seq2seq import SPECIAL_TOKENS, Batch
from pipeline.config import RunConfig
from pipeline.training.matmul import Shape, matmul_seconds, operations

MEASURED_SECONDS = 0.02
"""Per product: with about thirty of them, training starts a second later."""


def shape_of(batch: Batch) -> Shape:
    """Return the sizes of a batch, which set the shapes of its products."""
    target_BT = batch.target_BT[:, 1:]
    tokens = int((target_BT != SPECIAL_TOKENS.padding).sum())
    return Shape(batch.source_BS.shape[0], batch.source_BS.shape[1], target_BT.shape[1], tokens)


class SpeedLimit:
    """Estimates how long a batch's products take alone, from their operations and the rate of the first batch's."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        self._config, self._vocabulary = config, vocabulary
        self._rate = 0.0

    def seconds(self, batch: Batch) -> float:
        """Return the time of the batch's products on this process's threads; the first call measures their rate."""
        shape = shape_of(batch)
        count = operations(self._config, self._vocabulary, shape)
        if not self._rate:
            device = batch.source_BS.device
            self._rate = count / matmul_seconds(self._config, self._vocabulary, shape, device, MEASURED_SECONDS)
        return count / self._rate


def step_by_step_because(run: RunConfig) -> str | None:
    """Return the option that makes training run the decoder's plain loop, step by step; None where it does not."""
    if run.training.teacher_forcing < 1.0 and not plain_loop_because(run.model):
        return f"teacher_forcing={run.training.teacher_forcing}"
    return plain_loop_because(run.model)
