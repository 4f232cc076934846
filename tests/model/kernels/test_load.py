"""Where kernels come from: a cache that copies of this code share; and what happens without numba or a cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.kernels import load

RUN = """
import sys, torch
from model.kernels import load
kernels = load.kernels_for(torch.ones(1))
if kernels is not None:
    rows = torch.zeros(1, 1, 2)
    rows[0, 0, 0] = 1.0
    kernels.readout_step(load.array(rows), 1, 0)
    assert abs(rows[0, 0, 0].item() - 0.7615942) < 1e-6, rows
print(kernels is not None, load.is_compiled())
"""


def run(**environment: str) -> str:
    """Use a kernel in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "NMT_HOME")}
    done = subprocess.run([sys.executable, "-c", RUN], env=inherited | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_machine_code_is_kept_where_the_environment_says(name: str, tmp_path: Path) -> None:
    assert run(**{name: str(tmp_path)}) == "True True"
    assert list(tmp_path.rglob("*.nbc"))


def test_where_nothing_can_be_kept_kernels_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert run(NMT_HOME=str(tmp_path / "file")) == "True False"
    assert not list(Path(load.__file__).parent.rglob("*.nbc")), "it would outlive changes of what it calls"


@pytest.mark.parametrize("without", ["numba", "leave"])
def test_without_numba_or_switched_off_torch_does_the_work(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load._kernels.cache_clear()
    if without == "numba":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        monkeypatch.setenv("NMT_KERNELS", "off")
    assert load.kernels_for(torch.ones(1)) is None
    load._kernels.cache_clear()


def test_they_are_for_float32_alone() -> None:
    assert load.kernels_for(torch.ones(1, dtype=torch.float64)) is None
