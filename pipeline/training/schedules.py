"""How the learning rate and the share of teacher forcing change in the course of a training."""

import math

from pipeline.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """Return the learning rate of optimizer step `step` (from 1) after the share `done` of all epochs.

    Linear warm-up times half a cosine down to `final_learning_rate` times the peak (Loshchilov and
    Hutter 2017, "SGDR", eq. 5).
    """
    floor = config.final_learning_rate
    decay = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.learning_rate * min(1.0, step / max(1, config.warmup_steps)) * decay


def teacher_forcing_ratio(config: TrainingConfig, step: int, done: float) -> float:
    """Return the share of target tokens that optimizer step `step` (from 1) feeds from the reference.

    Bengio et al. 2015, "Scheduled Sampling", section 2.4: with e the lowest share, linear is 1 - (1 - e) * done,
    where `done` is the finished share of all epochs, and inverse sigmoid is max(e, k / (k + exp(step / k))).
    """
    lowest, k = config.teacher_forcing, config.teacher_forcing_decay
    if config.teacher_forcing_schedule == "linear":
        return 1.0 - (1.0 - lowest) * min(1.0, done)
    if config.teacher_forcing_schedule == "inverse-sigmoid":
        return max(lowest, k / (k + math.exp(min(step / k, 700.0))))
    return lowest
