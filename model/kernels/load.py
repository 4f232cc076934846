"""Finds numba or, for a GPU, Triton, and imports the kernels so that their machine code is kept.

numba keeps machine code beside the file that it was compiled from. So the kernels run from a copy of this folder in the
cache, named by its content: an installation that cannot be written to has one, and so do all copies of this code that
registered models bring, which share it.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
"""The environment variable that names the folder of the cache; without it, $NMT_HOME/compiled or ~/.cache/nmt."""
VARIABLE = "NMT_KERNELS"
"""The environment variable that switches the kernels off, with the value `off`, or on from the first sentence, `on`."""
MANY = 64
"""Sentences of a batch that is worth a second, in which numba gets ready and loads the kernels."""
SOURCES = ("__init__", "vectors", "threads", "cells", "attention", "loss", "philox", "search")
GPU_SOURCES = ("cells", "attention", "hidden_scores", "loss")


class Kernels:
    """The functions of all modules here that a caller may use, as attributes."""

    def __init__(self, modules: list[ModuleType]) -> None:
        for module in modules:
            for name in getattr(module, "__all__", ()):
                setattr(self, name, getattr(module, name))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no kernel is called {name}")


def kernels_for(tensor: Tensor) -> Kernels | None:
    """Return the kernels that can compute with tensors like this one, which are float32; None if there are none.

    On a CPU they need numba, and some take int64; on a GPU they need Triton.
    """
    if os.environ.get(VARIABLE) == "off":
        return None
    if tensor.device.type == "cpu":
        return _kernels() if tensor.dtype in (torch.float32, torch.int64) else None
    if tensor.dtype is not torch.float32:
        return None
    return _gpu_kernels() if type(tensor) is Tensor and tensor.is_cuda else None  # Not on tensors without numbers.


def kernels_for_search(tensor: Tensor, sentences: int) -> Kernels | None:
    """Return the kernels if this process has them already, or translates many sentences; see `kernels_for`."""
    ready = _kernels.cache_info().currsize > 0 or os.environ.get(VARIABLE) == "on"
    return kernels_for(tensor) if ready or sentences >= MANY else None


def array(tensor: Tensor) -> Any:
    """Return what kernels take: a tensor's memory as an array of numpy; on a GPU, the tensor."""
    return tensor.detach().numpy() if tensor.device.type == "cpu" else tensor.detach()


def available() -> bool:
    """Return whether the kernels are there, and not switched off."""
    return os.environ.get(VARIABLE) != "off" and importlib.util.find_spec("numba") is not None


def is_compiled() -> bool:
    """Return whether an earlier process has left machine code in the cache; without it the first step compiles."""
    # numba has them in a folder of its own beside the copy where NUMBA_CACHE_DIR is set, else inside it.
    return any(_cache_folder().glob(f"{_package_name()}*/**/*.nbi"))


@cache
def _kernels() -> Kernels | None:
    if importlib.util.find_spec("numba") is None:
        return None
    package = _package_name()
    try:
        folder = _copy_to_cache(package)
    except OSError:  # A full disk, or nowhere to write: compiled anew in every process.
        package, folder = f"{package}_uncached", Path(__file__).parent
    if package not in sys.modules:  # Code that a registered model has brought may have the same kernels.
        _import(package, folder / "__init__.py", [str(folder)])
    return Kernels([importlib.import_module(f"{package}.{name}") for name in SOURCES[1:]])


@cache
def _gpu_kernels() -> Kernels | None:
    if os.environ.get(VARIABLE) == "off" or importlib.util.find_spec("triton") is None:
        return None
    return Kernels([importlib.import_module(f"{__package__}.gpu.{name}") for name in GPU_SOURCES])


def _source_files() -> list[Path]:
    return [Path(__file__).with_name(f"{name}.py") for name in SOURCES]


@cache
def _package_name() -> str:
    content = b"\0".join(path.read_bytes() for path in _source_files())
    return f"nmt_kernels_{hashlib.sha256(content).hexdigest()[:16]}"


def _cache_folder() -> Path:
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    if home := os.environ.get("NMT_HOME"):
        return Path(home) / "compiled"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nmt"


def _copy_to_cache(package: str) -> Path:
    """Return the folder of the copy, which comes into being whole, whoever else makes it at the same time."""
    folder = _cache_folder() / package
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / package
        made.mkdir(mode=0o700)
        for path in _source_files():
            (made / path.name).write_bytes(path.read_bytes())
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _import(name: str, file: Path, search: list[str]) -> None:
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
