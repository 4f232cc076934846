"""How the learning rate and the share of teacher forcing change in the course of a training."""

import math

from pipeline.amounts import Amount
from pipeline.config import TrainingConfig
from pipeline.training.progress import Progress


def share_done(config: TrainingConfig, progress: Progress) -> float:
    """Return which share of the training is done, in [0, 1], by what ends it first; a limit in hours only stops."""
    shares = [_share(limit, progress) for limit in config.limits if not limit.is_time]
    return min(1.0, max(shares, default=0.0))


def _share(limit: Amount, progress: Progress) -> float:
    if limit.unit == "epochs":  # Not by the exact fraction, which would be rounded otherwise.
        return (progress.epoch + progress.batch / progress.batches) / float(limit.number)
    return float(limit.of(progress))


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """Return the learning rate of optimizer step `step` (from 1) after the share `done` of the training.

    Linear warm-up times half a cosine down to `final_learning_rate` times the peak (Loshchilov and
    Hutter 2017, "SGDR", eq. 5).
    """
    floor = config.final_learning_rate
    decay = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * min(1.0, step / max(1, config.warmup_steps)) * decay


def teacher_forcing_ratio(config: TrainingConfig, step: int, done: float) -> float:
    """Return the share of target tokens that optimizer step `step` (from 1) feeds from the reference.

    Bengio et al. 2015, "Scheduled Sampling", section 2.4: with e the lowest share, linear is 1 - (1 - e) * done,
    where `done` is the finished share of the training, and inverse sigmoid is max(e, k / (k + exp(step / k))).
    """
    lowest, k = config.teacher_forcing, config.teacher_forcing_decay
    if config.teacher_forcing_schedule == "linear":
        return 1.0 - (1.0 - lowest) * done
    if config.teacher_forcing_schedule == "inverse-sigmoid":
        return max(lowest, k / (k + math.exp(min(step / k, 700.0))))
    return lowest
