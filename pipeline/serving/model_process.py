"""A registered model in a process of its own, for a server whose threads would slow it down.

Translating is thousands of short calls into torch, and after each the thread has to win Python's lock back from all
others in its process: among a server's threads that takes five times as long (measured in a replica of Ray Serve).
"""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.processes import end_with_parent
from pipeline.registry.pull import LoadedModel
from pipeline.serving.protocol import Invocation, Reply, answer_together
from pipeline.training.worker import use_threads

_model: LoadedModel | None = None
"""The model of that process."""


class ModelProcess:
    """Answers requests with a model, in another process, which ends with this one."""

    def __init__(self, path: Path, threads: int, device: str = "auto") -> None:
        """Start the process, and return when the model is loaded and has translated once."""
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _load, (path, threads, device))
        self.parameters: dict[str, Any] = self._pool.submit(_parameters).result()

    def answer(self, invocations: Sequence[Invocation]) -> "Future[list[Reply]]":
        """Answer requests together. The future raises BrokenProcessPool if the process has died."""
        return self._pool.submit(_answer, list(invocations))

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)


def _load(path: Path, threads: int, device: str) -> None:
    global _model
    threading.Thread(target=end_with_parent, daemon=True).start()
    use_threads(threads)
    os.environ.setdefault("NMT_KERNELS", "on")  # Requests come one at a time, and many of them.
    _model = LoadedModel(path, device)
    _model.predict(["a"])  # So that the first request does not wait for what is built on first use.


def _parameters() -> dict[str, Any]:
    assert _model is not None
    return _model.parameters


def _answer(invocations: list[Invocation]) -> list[Reply]:
    assert _model is not None
    return answer_together(_model, invocations)
