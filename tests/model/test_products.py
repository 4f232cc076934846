"""Which library multiplies: decided by its results and its time, by stand-ins for machines that are not here."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.products import Library, choose, fastest_library, fastest_products


class Machine(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes so many seconds for a product by each library, and rounds those of oneDNN to bf16 if it `rounds`."""

    def __init__(self, torch_takes: float, onednn_takes: float, *, rounds: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.takes: dict[Library, float] = {"torch": torch_takes, "oneDNN": onednn_takes}
        self.rounds, self.library, self.now = rounds, "torch", 0.0

    def let(self, library: Library) -> None:
        self.library = library

    def clock(self) -> float:
        return self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if str(func).startswith("aten.mm") and args[0].dtype is torch.float32:
            self.now += self.takes[self.library]  # type: ignore[index]
            if self.rounds and self.library == "oneDNN":
                args = tuple(factor.bfloat16().float() for factor in args)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("machine", "library"),
    [
        (Machine(2.0, 1.0), "oneDNN"),
        (Machine(1.0, 2.0), "torch"),
        (Machine(1.0, 1.0), "torch"),
        (Machine(1.1, 1.0), "torch"),  # Noise may make either the faster one.
        (Machine(4.0, 1.0, rounds=True), "torch"),  # AMX: fast, but not exact.
    ],
)
def test_the_faster_library_is_taken_if_it_is_exact(machine: Machine, library: str) -> None:
    with machine:
        assert choose(machine.let, machine.clock) == library
    assert machine.library == "torch", "nothing is left behind"


def test_the_products_of_this_machine_are_exact_whichever_it_takes() -> None:
    mkldnn: Any = torch.backends.mkldnn
    left, right, before = torch.full((256, 256), 1 + 2**-12), torch.eye(256), mkldnn.matmul.fp32_precision
    with fastest_products(torch.device("cpu")) as library:
        assert torch.equal(left @ right, left)
    assert library == fastest_library(torch.get_num_threads())
    assert mkldnn.matmul.fp32_precision == before
    with fastest_products(torch.device("cuda")) as library:
        assert library == "torch"
