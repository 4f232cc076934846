"""CUDA graphs without CUDA: torch's operations recorded with the very tensors that they read and wrote, and done again.

What a graph would freeze is frozen here: numbers that Python computed, and the places of tensors. So a step that takes
its learning rate as a number, or its batch from another tensor, is found out on a CPU.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation, and what tensors from outside were before it wrote to them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations: list[tuple[Any, Sequence[Any], dict[str, Any], list[Tensor]]] = []
        self._own: set[int] = set()
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument in function._schema.arguments:
            if argument.is_write:
                position = function._schema.arguments.index(argument)
                given = args[position] if position < len(args) else kwargs.get(argument.name)
                for tensor in tree_leaves(given):
                    if _place(tensor) not in self._own:
                        self._before.setdefault(_place(tensor), (tensor, tensor.detach().clone()))
        read = {_place(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        result = function(*args, **kwargs)
        made = [tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor) and _place(tensor) not in read]
        self._own |= {_place(tensor) for tensor in made}
        self._operations.append((function, args, kwargs, made))
        return result

    def undo(self) -> None:
        """Give tensors from outside their values back: what is recorded is not run."""
        for tensor, before in self._before.values():
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Do the operations again, into the same tensors."""
        for function, args, kwargs, made in self._operations:
            result = function(*args, **kwargs)
            again = [tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor)]
            fresh = again[len(again) - len(made) :] if made else []
            for tensor, value in zip(made, fresh, strict=True):
                tensor.copy_(value)


class TapeGraphs:
    """Graphs by tapes; counts what was called, recorded and replayed."""

    def __init__(self) -> None:
        self.called = self.recorded = self.replayed = 0

    def call(self, run: Callable[[], None]) -> None:
        self.called += 1
        run()

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        tape = Tape()
        with tape:
            run()
        tape.undo()

        def replay() -> None:
            self.replayed += 1
            tape.replay()

        return replay
