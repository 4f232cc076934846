"""`make bench-gpu` on a CPU: that all of it runs, the day a card is there; what it measures here says nothing."""

import sys

import pytest

from tests.benchmarks import gpu, gpu_processes
from tests.benchmarks.training import DEVICE


@pytest.mark.slow
def test_every_part_runs_with_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    monkeypatch.setattr(gpu, "WINDOWS", 1)
    # Two processes take longer than all else, and the tests of training have them.
    monkeypatch.setattr(gpu_processes, "measure", lambda *sizes: {"two processes against one": "not tried"})
    found = dict(gpu.measure(gpu.TINY))
    assert len(found) == 7
    assert max(value for value in found["right"].values() if isinstance(value, float)) < 1e-4
    assert found["graphs"]["graphs against calls: largest difference of a weight"] == 0.0
    (rates,) = (figures for name, figures in found.items() if "pieces" in name)
    assert {"source and target tokens/s", "target tokens/s", "milliseconds a step", "graphs"} <= set(rates)


@pytest.mark.skipif(DEVICE.type == "cuda", reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 2
    line = "make bench-gpu: torch finds no GPU on this machine; `make bench` measures its CPU\n"
    assert capsys.readouterr() == ("", line)
