"""What a worker reports in place of a traceback: a GPU that it cannot use, and too little memory."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.cluster import training_worker
from pipeline.cluster.connection import DriverStore
from pipeline.cluster.training_worker import Checkpoints, TrainingJob, train_on_worker
from pipeline.config import RunConfig
from pipeline.training.worker import WorkerInfo


class Records:
    """A queue, and what was put into it."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> None:
        self.items.append(item)


def run_worker(monkeypatch: pytest.MonkeyPatch, run: RunConfig, fit: Any, device: str) -> list[Any]:
    """Run a worker whose training is `fit`, second of four; return what it has put into the queue."""
    records: Any = Records()
    context = SimpleNamespace(
        get_world_rank=lambda: 1, get_world_size=lambda: 4, get_local_world_size=lambda: 1, get_node_id=lambda: "node"
    )
    for name, value in {
        "get_device": lambda: torch.device(device),
        "node_addresses": lambda: {"node": "10.0.0.7"},
        "use_threads": lambda _: None,
        "_open_data": lambda *_: SimpleNamespace(subwords=SimpleNamespace(target_size=9)),
        "make_validation": lambda *_: None,
        "make_trainer": lambda *_: SimpleNamespace(fit=fit, stopped=False),
    }.items():
        monkeypatch.setattr(training_worker, name, value)
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    monkeypatch.setattr("ray.train.get_checkpoint", lambda: None)
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    store = DriverStore("node", "store", None)
    train_on_worker(
        {"job": TrainingJob(run.model_dump(mode="json"), store, "", "", [], "13a", 1, records, records, None)}
    )
    return list(records.items)


def fails(error: Exception) -> Any:
    def fit() -> None:
        raise error

    return fit


def test_a_gpu_that_cannot_be_used_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tiny: RunConfig
) -> None:
    monkeypatch.setattr(training_worker, "gpu_obstacle", lambda number: f"card {number} has no driver; mend it")
    assert run_worker(monkeypatch, tiny, fails(AssertionError()), "cuda:2") == [
        {
            "error": "training.device=auto: the GPU of worker 1 on 10.0.0.7 cannot be used: card 2 has no driver; mend "
            "it, or set training.device=cpu"
        }
    ]


@pytest.mark.parametrize(
    ("device", "error", "told"),
    [
        ("cuda:0", torch.OutOfMemoryError("CUDA out of memory. Tried"), "the memory of its GPU (CUDA out of memory)"),
        ("cuda:0", RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), "the memory of its GPU (CUDNN_STATUS_ALLOC_FAILED)"),
        ("cpu", MemoryError(), "its memory (MemoryError)"),
    ],
)
def test_too_little_memory_is_told_with_the_field_that_helps(
    monkeypatch: pytest.MonkeyPatch, tiny: RunConfig, device: str, error: Exception, told: str
) -> None:
    monkeypatch.setattr(training_worker, "gpu_obstacle", lambda _: None)
    (item,) = run_worker(monkeypatch, tiny, fails(error), device)
    assert item["error"] == (
        f"batching.worker_tokens=None: a worker's share of a step does not fit {told}; set it to less than "
        f"{tiny.batching.tokens // 4}, and the run continues"
    )


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch, tiny: RunConfig) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_worker(monkeypatch, tiny, fails(RuntimeError("a bug")), "cpu")


@pytest.mark.parametrize(("precision", "of_recurrences"), [("fp32", "ieee"), ("bf16", "tf32")])
def test_cudnn_rounds_only_if_the_precision_says_so(
    monkeypatch: pytest.MonkeyPatch, tiny: RunConfig, precision: str, of_recurrences: str
) -> None:
    cudnn: Any = torch.backends.cudnn
    seen = []
    run = tiny.model_copy(update={"training": tiny.training.model_copy(update={"precision": precision})})
    run_worker(monkeypatch, run, lambda: seen.append(cudnn.rnn.fp32_precision), "cpu")
    assert seen == [of_recurrences]


@pytest.mark.parametrize(("device", "on_gpu"), [("cpu", 0.0), ("cuda:0", 1.0)])
def test_an_epoch_says_what_it_was_computed_on(monkeypatch: pytest.MonkeyPatch, device: str, on_gpu: float) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("ray.train.report", lambda figures, **_: reported.append(figures))
    trainer: Any = SimpleNamespace(config=SimpleNamespace(select_by="loss"))
    Checkpoints(None, WorkerInfo(1, 2, torch.device(device))).report({"validation_loss": 2.0}, trainer)
    assert reported == [{"validation_loss": 2.0, "train_on_gpu": on_gpu, "train_workers": 2.0, "selection_score": -2.0}]
