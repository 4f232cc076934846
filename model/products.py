"""Which library multiplies float32 matrices on this CPU: the fastest of those whose results are exact to float32.

torch multiplies through MKL, which on processors of AMD with AVX-512 reaches less than half of what oneDNN does there.
torch gives float32 products to oneDNN only with leave to round them to bf16. oneDNN takes that leave where the CPU has
AMX, and then the products are not exact; elsewhere it does not. So a probe decides, by its results and its time.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

Library = Literal["torch", "oneDNN"]
SHAPES = ((64, 512, 1024), (128, 256, 4000))
"""Rows, inner and columns of a step's product in the decoder, and of one in the output layer."""
EXACT = 1e-6
"""Largest error of an exact product, to the largest number in it; rounded to bf16, it is 3e-3."""
CLEARLY = 1.25
"""How many times as fast another library must be: where two are equal, noise must not choose, since their last bits
differ."""
_TURNS = 7


def _let(library: Library) -> None:
    mkldnn: Any = torch.backends.mkldnn
    mkldnn.matmul.fp32_precision = "bf16" if library == "oneDNN" else "ieee"


@contextmanager
def fastest_products(device: torch.device) -> Iterator[Library]:
    """Multiply by the fastest exact library; yield its name. What was set before is set again at the end."""
    mkldnn: Any = torch.backends.mkldnn
    before = mkldnn.matmul.fp32_precision
    library: Library = fastest_library(torch.get_num_threads()) if device.type == "cpu" else "torch"
    if library == "torch":  # As torch does by itself: nothing to set.
        yield library
        return
    _let(library)
    try:
        yield library
    finally:
        mkldnn.matmul.fp32_precision = before


@cache
def fastest_library(threads: int) -> Library:
    """Return the library to multiply by with so many threads, from a probe that takes a tenth of a second."""
    mkldnn: Any = torch.backends.mkldnn
    if not (mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return "torch"  # torch would not ask oneDNN: no AVX-512.
    before = mkldnn.matmul.fp32_precision
    try:
        return choose(_let)
    finally:
        mkldnn.matmul.fp32_precision = before


def choose(let: Callable[[Library], None], clock: Callable[[], float] = time.perf_counter) -> Library:
    """Return oneDNN where it is exact and clearly faster in every shape; `let` makes a library multiply."""
    generator = torch.Generator().manual_seed(1)
    for rows, inner, columns in SHAPES:
        left, right = (torch.randn(*shape, generator=generator) for shape in ((rows, inner), (columns, inner)))
        products = {library: torch.empty(rows, columns) for library in ("torch", "oneDNN")}
        times: dict[str, list[float]] = {library: [] for library in products}
        for _ in range(_TURNS):  # In turns, so that a machine that changes its pace changes both.
            for library, product in products.items():
                let(library)  # type: ignore[arg-type]
                began = clock()
                torch.mm(left, right.T, out=product)
                times[library].append(clock() - began)
        let("torch")
        first, second = (statistics.median(times[library][1:]) for library in ("torch", "oneDNN"))
        if first < CLEARLY * second or not is_exact(products["oneDNN"], left, right):
            return "torch"
    return "oneDNN"


def is_exact(product: Tensor, left: Tensor, right: Tensor) -> bool:
    """Return whether `product` is left right' to the precision of float32."""
    exact = left.double() @ right.double().T
    return bool((product - exact).abs().max() <= EXACT * exact.abs().max())
