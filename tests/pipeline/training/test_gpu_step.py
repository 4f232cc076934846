"""A training step on a GPU, of fake tensors: the host waits nowhere in it, and no device is mixed with another."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.seq2seq import Seq2Seq
from pipeline.batches.collate import Ragged
from pipeline.config import TrainingConfig
from pipeline.training.gradients import NOTHING, Reading
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.trainer import Trainer
from pipeline.training.worker import make_share, pinned
from tests.fake_cuda import GPU, Watch, fake_cuda, on_gpu
from tests.model.combinations import VOCABULARY, covering, products

STEPS = 3
CHOSEN = covering()
LAUNCHES = {
    "feeding": (products(attention=("general",), input_feeding=(True,)), 36),
    "bahdanau-gru": (products(attention=("concat",), decoder=("bahdanau",), cell=("gru",)), 58),
    "luong": (products(attention=("general",)), 0),
}
"""Decoders, and how many launches more a target position may cost in a training step, forward and backward."""


def steps(words: int) -> Generator[list[Share], None, None]:
    """Yield a share on the GPU for each step; its longest target has `words` tokens and `end`."""
    sides = tuple(Ragged.of_rows([[4] * length + [3] for length in lengths]) for lengths in ((3, 1, 4), (words, 1, 1)))
    share = make_share((sides[0], sides[1]), np.arange(3), np.arange(3))
    for shares in pinned(iter([[share]] * STEPS)):
        yield [share.map(lambda tensor: tensor.to(GPU, non_blocking=True)) for share in shares]


def make_trainer(config: ModelConfig, **training: Any) -> Trainer:
    """Return a trainer on the GPU, which reports every step."""
    hooks = Hooks(lambda model: {}, lambda figures: None, lambda figures, trainer: None)
    settings = TrainingConfig.model_validate({"log_every": 1, **training})
    model = on_gpu(Seq2Seq(config, VOCABULARY, VOCABULARY))
    return Trainer(model, settings, 0.3, Epochs(lambda epoch, first: steps(2), lambda epoch: [5] * STEPS), hooks)


def take_step(trainer: Trainer, watch: Watch, words: int = 2, forced: float = 1.0) -> int:
    """Take a step; return how much a GPU would launch."""
    before = watch.launches.total()
    trainer._step(next(steps(words)), 0.1, forced)
    return watch.launches.total() - before


@pytest.mark.parametrize("config", CHOSEN.values(), ids=list(CHOSEN))
def test_the_host_waits_nowhere_in_a_step(config: ModelConfig) -> None:
    with fake_cuda() as watch:
        assert take_step(make_trainer(config, label_smoothing=0.1), watch) > 100
        assert [str(wait) for wait in watch.waits] == []


def test_nor_where_the_reference_is_not_always_fed() -> None:
    config = next(products(attention=("concat",), decoder=("bahdanau",), tied_embeddings=("all",)))
    with fake_cuda() as watch:
        take_step(make_trainer(config), watch, forced=0.5)
        assert [str(wait) for wait in watch.waits] == []


def test_nor_where_several_workers_add_up_their_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    summed: list[Tensor] = []
    monkeypatch.setattr("torch.distributed.all_reduce", summed.append)
    with fake_cuda() as watch:
        trainer = make_trainer(next(products(attention=("none",), cell=("gru",))))
        trainer._gradients._several = True
        take_step(trainer, watch)
        assert watch.waits == []
        assert [vector.is_cuda for vector in summed] == [True]


def test_a_loss_is_read_when_the_next_step_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda() as watch:
        trainer = make_trainer(next(products(attention=("none",), cell=("gru",))))
        reported: list[float] = []
        object.__setattr__(trainer.hooks, "report_step", lambda figures: reported.append(figures["step"]))
        apply = trainer._gradients.apply

        def nothing_asked(*arguments: Any) -> Reading:  # All numbers on the way to the host are 1 here.
            read = apply(*arguments)
            return lambda: replace(read(), asks=NOTHING)

        monkeypatch.setattr(trainer._gradients, "apply", nothing_asked)
        trainer._run()
        assert {str(wait).rpartition(": ")[2] for wait in watch.waits} == {"event.synchronize"}
    sent = ["copy to the host", "record"]
    assert watch.events == [*sent, *sent, "synchronize", *sent, "synchronize", "synchronize"]
    assert reported == [1, 2, 3], "every step, with its own number"


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_target_position_costs_few_launches(name: str) -> None:
    configs, most = LAUNCHES[name]
    with fake_cuda() as watch:
        trainer, launches = make_trainer(next(configs)), [0]
        for words in (2, 4):
            trainer._gradients.reset()
            (share,) = next(steps(words))
            trainer._accumulate(share.batch, share.rows)
            launches.append(watch.launches.total())
    none, short, both = launches
    assert ((both - short) - (short - none)) / 2 <= most


def test_the_watch_finds_waits_and_mixed_devices() -> None:
    """Else an empty list would say nothing."""
    with fake_cuda() as watch:
        values, host = torch.ones(4, device=GPU), torch.ones(4, device="cpu")
        waiting: list[Callable[[], object]] = [
            values.sum().item,
            values.tolist,
            values.nonzero,
            lambda: bool(values.any()),
            lambda: values[values > 0],
            lambda: values.new_tensor([1.0]),
            lambda: host.to(GPU),
            lambda: host.to(GPU, non_blocking=True),
            lambda: values.to("cpu", non_blocking=True),
        ]
        for wait in waiting:
            watch.waits.clear()
            wait()
            assert watch.waits
        watch.waits.clear()
        host.pin_memory().to(GPU, non_blocking=True)
        values[1:].fill_(2.0)
        assert not watch.waits
        with pytest.raises(RuntimeError, match="same device"):
            values + host
