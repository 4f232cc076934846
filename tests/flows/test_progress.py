"""What a run says of its epochs, its stages and what went wrong."""

import time

import pytest

from flows.progress import LogView, validation_line
from pipeline.store.store import Reuse

EPOCH = {
    "epoch": 2,
    "bleu": 93.857,
    "validation_perplexity": 1.17,
    "train_loss": 1.3,
    "train_target_tokens_per_second": 9527.3,
    "train_matmul_share": 0.41,
    "train_bf16": 0.0,
}


def test_an_epoch_is_one_line() -> None:
    assert validation_line(EPOCH) == (
        "epoch 2: BLEU 93.86, perplexity 1.17, training loss 1.300, 9,527 target tokens/s (41% of fp32 matmul speed)"
    )
    assert "(41% of bf16 matmul speed)" in validation_line(EPOCH | {"train_bf16": 1.0})


def test_a_share_that_cannot_be_or_is_not_known_is_not_shown() -> None:
    without = {name: value for name, value in EPOCH.items() if name != "train_matmul_share"}
    for line in (validation_line(EPOCH | {"train_matmul_share": 56.5}), validation_line(without)):
        assert "%" not in line
        assert "the machine was busy" in line


def test_a_log_has_a_line_for_each_stage_and_each_warning() -> None:
    lines: list[str] = []
    view = LogView(lines.append)
    view.began("corpus")
    view.ended("20 pairs", Reuse.OTHER_CODE)
    view.began("evaluation", system="base")
    view.ended("test BLEU 0.20", Reuse.YES)
    view.warned("test BLEU 0.20 is near 0")
    assert lines == [
        "corpus       20 pairs (reused, made by other code)",
        "evaluation   base: test BLEU 0.20 (reused)",
        "evaluation   base: WARNING: test BLEU 0.20 is near 0",
    ]


def test_a_log_has_a_line_now_and_then_on_how_far_a_long_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    view, now = LogView(lines.append), iter([0.0, 10.0, 31.0, 31.0, 40.0, 62.0, 62.0])  # The clock.
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    view.began("corpus")
    for number in range(1, 5):
        view.told(f"{number * 4_000:,} pairs read")
    assert lines == ["corpus       8,000 pairs read", "corpus       16,000 pairs read"]
