"""CUDA graphs without CUDA: torch's operations recorded with the very tensors that they read and wrote, and done again.

What a graph would freeze is frozen here: numbers that Python computed, and the places of tensors. So a step that takes
its learning rate as a number, or its batch from another tensor, is found out on a CPU.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from model.loss import Loss
from model.padded_loss import padded_cross_entropy


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _alias(value: Any) -> Any:
    """Return the same memory under a shape of its own, which an operation in place may change later."""
    return value.detach() if isinstance(value, Tensor) else value


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation, and what tensors from outside were before it wrote to them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations: list[tuple[Any, Sequence[Any], dict[str, Any], list[Tensor]]] = []
        self._own: set[int] = set()
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument in function._schema.arguments:
            if argument.is_write:
                position = function._schema.arguments.index(argument)
                given = args[position] if position < len(args) else kwargs.get(argument.name)
                for tensor in tree_leaves(given):
                    if _place(tensor) not in self._own:
                        storage = tensor.untyped_storage()
                        self._before.setdefault(_place(tensor), (storage, storage.clone()))
        frozen = tree_map(_alias, (args, kwargs))
        read = {_place(tensor) for tensor in _tensors(frozen)}
        result = function(*args, **kwargs)
        made = [_alias(tensor) for tensor in _tensors(result) if _place(tensor) not in read]
        self._own |= {_place(tensor) for tensor in made}
        self._operations.append((function, *frozen, made))
        return result

    def undo(self) -> None:
        """Give tensors from outside their values back: what is recorded is not run."""
        for storage, before in self._before.values():
            storage.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Do the operations again, into the same tensors."""
        for function, args, kwargs, made in self._operations:
            result = function(*tree_map(_alias, args), **tree_map(_alias, kwargs))
            again = _tensors(result)
            for tensor, value in zip(made, again[len(again) - len(made) :], strict=True):
                tensor.copy_(value)


def on_gpu(
    readouts_BTR: Tensor,
    projection_VR: Tensor,
    bias_V: Tensor,
    target_BT: Tensor,
    padding_index: int,
    label_smoothing: float = 0.0,
) -> Loss:
    """Return the loss as a GPU computes it, for which the number of words makes no difference."""
    states_PR, target_P = readouts_BTR.flatten(0, 1), target_BT.flatten()
    is_word_P = target_P != padding_index
    sums = padded_cross_entropy(states_PR, projection_VR, bias_V, target_P, is_word_P, label_smoothing)
    return Loss(*sums, is_word_P.sum())


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
