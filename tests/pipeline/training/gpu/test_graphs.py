"""Which functions are recorded, and that a recording has the effect of a call."""

from collections.abc import Callable

import torch

from pipeline.training.gpu.graphs import Graphs
from tests.pipeline.training.gpu.tape import TapeGraphs


class Counter:
    """Adds its step to a tensor, by way of a tensor that is made anew each time."""

    def __init__(self) -> None:
        self.total, self.step = torch.zeros(3), torch.ones(3)

    def __call__(self) -> None:
        self.total[1:] += (2 * self.step)[1:]


def test_a_function_is_called_some_times_then_recorded_once_then_replayed() -> None:
    api, count = TapeGraphs(), Counter()
    graphs = Graphs(api)
    for number in range(1, 9):
        count.step.fill_(number)  # What a replay reads is the tensor as it is then.
        graphs.run("key", count)
    assert (api.called, api.recorded, api.replayed) == (Graphs.CALLS, 1, 8 - Graphs.CALLS)
    assert count.total.tolist() == [0, 72, 72]


def test_recording_by_itself_changes_nothing() -> None:
    count = Counter()
    replay = TapeGraphs().record(count)
    assert count.total.tolist() == [0, 0, 0]
    replay()
    replay()
    assert count.total.tolist() == [0, 4, 4]


def test_rare_keys_are_called_and_graphs_are_bounded() -> None:
    api = TapeGraphs()
    graphs = Graphs(api)
    counts = [Counter() for _ in range(Graphs.MOST + 2)]
    for key, count in enumerate(counts):
        for _ in range(Graphs.CALLS + 2):
            graphs.run(key, count)
    assert api.recorded == Graphs.MOST
    assert {count.total[1].item() for count in counts} == {2.0 * (Graphs.CALLS + 2)}


def test_what_cannot_be_recorded_is_called_and_the_reason_is_kept() -> None:
    class Refuses(TapeGraphs):
        def record(self, run: Callable[[], None]) -> Callable[[], None]:
            self.recorded += 1
            try:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
            finally:  # As torch does at the end.
                raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    api, count = Refuses(), Counter()
    graphs = Graphs(api)
    for key in ("a", "b"):
        for _ in range(Graphs.CALLS + 2):
            graphs.run(key, count)
    assert graphs.refused == "CUDA error: operation not permitted when stream is capturing"
    assert (api.recorded, count.total[1].item()) == (1, 4.0 * (Graphs.CALLS + 2))
