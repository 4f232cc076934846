"""A GPU without a card: fake CUDA tensors, which have shapes but no numbers, and a watch over what the host does.

torch's FakeTensorMode finds out what any operation would make of its operands, and refuses to mix devices. `Watch` sees
every operation on its way there: it counts what a GPU would launch, and finds each place where the host would wait for
the GPU, with file and line. Where a CPU's torch has no code for CUDA, stand-ins make it go on: see `fake_cuda`.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

GPU, META = torch.device("cuda:0"), torch.device("meta")
ROOT = Path(__file__).parents[1]
OURS = tuple(str(ROOT / room) for room in ("model", "pipeline"))
_aten = torch.ops.aten
_CUDNN_MODES = {"lstm": 2, "gru": 3}
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Wait:
    """A place where the host waits for the GPU."""

    operation: str
    place: str
    """The innermost line of this project, as file:line; empty inside torch's own backward."""

    def __str__(self) -> str:
        return f"{self.place}: {self.operation}"


@dataclass
class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts launches and lists waits. A wait is answered with something of a possible shape, so that all are found."""

    waits: list[Wait] = field(default_factory=list)
    launches: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    """What happened to CUDA events and to copies to the host, in order."""

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pinned: set[int] = set()
        self._kept: list[Tensor] = []  # So that no other storage gets the number of a pinned one.

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") == META:  # From C++ that asked a fake tensor for its device.
            kwargs["device"] = GPU
        stand_in = _STAND_INS.get(func)
        if stand_in is None and func._can_decompose():  # In inference mode it comes whole, and its parts must be seen.
            with self:
                return func.decompose(*args, **kwargs)
        result = stand_in(self, func, args, kwargs) if stand_in else func(*args, **kwargs)
        if _launches(func, args, result):
            self.launches[str(func.overloadpacket).removeprefix("aten.")] += 1
        return result

    def wait(self, operation: str) -> None:
        """Note that the host waits here."""
        self.waits.append(Wait(operation, _place()))

    def pin(self, tensor: Tensor) -> Tensor:
        """Take a tensor's memory as pinned."""
        self._pinned.add(tensor.untyped_storage()._cdata)
        self._kept.append(tensor)
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return whether the host's memory of the tensor is pinned."""
        return tensor.untyped_storage()._cdata in self._pinned

    def since(self, before: "Counter[str]") -> "Counter[str]":
        """Return the launches since a copy of `launches` was made."""
        return self.launches - before


def _place() -> str:
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return f"{Path(name).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _launches(func: Any, args: Any, result: Any) -> bool:
    """Return whether a GPU would launch something: not for views and for memory that is only allocated."""
    if func.namespace != "aten" or func.overloadpacket in _SILENT:
        return False
    if func is _aten._to_copy.default and args[0].device == result.device and args[0].dtype == result.dtype:
        return False  # Only a stand-in's: C++ takes the tensor to be on another device.
    returns = func._schema.returns
    is_view = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    return not is_view and any(tensor.is_cuda for tensor in [*_tensors(result), *_tensors(args)])


_SILENT = {
    _aten.empty,
    _aten.empty_like,
    _aten.new_empty,
    _aten.empty_strided,
    _aten.new_empty_strided,
    _aten.detach,
    _aten.is_pinned,
    _aten._unsafe_view,
}


def _scalar(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    if not isinstance(args[0], FakeTensor):
        return func(*args, **kwargs)
    if args[0].is_cuda:
        watch.wait(str(func.overloadpacket))
    return _one(args[0].dtype)


def _one(dtype: torch.dtype) -> float | int | bool:
    return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1


def _nonzero(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    watch.wait(str(func.overloadpacket))
    return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.int64)


def _index(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    """Index by whole numbers, or by a mask, whose number of places the host must know."""
    values, indices, *rest = args
    plain: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            watch.wait(f"{func.overloadpacket} with a mask")
            plain += [index.new_empty(index.numel(), dtype=torch.int64) for _ in range(index.dim())]
        else:
            plain.append(index)
    return func(values, plain, *rest, **kwargs)


def _masked_select(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    watch.wait(str(func.overloadpacket))
    return args[0].new_empty(args[0].numel())


def _equal(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    watch.wait(str(func.overloadpacket))
    return True


def _repeat(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    if kwargs.get("output_size") is None:
        watch.wait(str(func.overloadpacket))
        return args[0].new_empty(args[0].numel())
    return func(*args, **kwargs)


def _to_copy(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    result = func(*args, **kwargs)
    _copied(watch, args[0], result, kwargs.get("non_blocking", False))
    return result


def _copy(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    _copied(watch, args[1], args[0], not blocking)
    return func(*args, **kwargs)


def _copied(watch: Watch, source: Tensor, target: Tensor, non_blocking: bool) -> None:
    if source.is_cuda == target.is_cuda:
        return
    on_host = target if source.is_cuda else source
    if not (non_blocking and watch.is_pinned(on_host)):
        watch.wait(f"copy from {source.device} to {target.device}")
    elif source.is_cuda:
        watch.events.append("copy to the host")


def _pin(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    return watch.pin(args[0].clone())


def _is_pinned(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    return watch.is_pinned(args[0])


def _empty(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    pinned = kwargs.pop("pin_memory", False)
    result = func(*args, **kwargs)
    return watch.pin(result) if pinned else result


def _in_place(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    """Take an operation that only writes to its operands as done."""


def _cudnn_forward(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    inputs, hidden, cell, batch_first = args[0], args[4], args[5], args[10]
    assert batch_first
    output = inputs.new_empty(*inputs.shape[:2], hidden.shape[-1])
    states = (torch.empty_like(hidden), hidden.new_empty(0) if cell is None else torch.empty_like(cell))
    return output, *states, inputs.new_empty(0, dtype=torch.uint8), inputs.new_empty(0)


def _cudnn_backward(watch: Watch, func: Any, args: Any, kwargs: Any) -> Any:
    inputs, weights, _, _, hidden, cell = args[:6]
    return (
        torch.empty_like(inputs),
        torch.empty_like(hidden),
        None if cell is None else torch.empty_like(cell),
        [torch.empty_like(weight) for weight in weights],
    )


_STAND_INS: dict[Any, Callable[[Watch, Any, Any, Any], Any]] = {
    _aten._local_scalar_dense.default: _scalar,
    _aten.item.default: _scalar,
    _aten.is_nonzero.default: _scalar,
    _aten.nonzero.default: _nonzero,
    _aten.index.Tensor: _index,
    _aten.index_put.default: _index,
    _aten.index_put_.default: _index,
    _aten.masked_select.default: _masked_select,
    _aten.equal.default: _equal,
    _aten.repeat_interleave.Tensor: _repeat,
    _aten._to_copy.default: _to_copy,
    _aten.copy_.default: _copy,
    _aten._pin_memory.default: _pin,
    _aten.is_pinned.default: _is_pinned,
    _aten.empty.memory_format: _empty,
    _aten._fused_adam_.tensor_lr: _in_place,
    _aten._cudnn_rnn.default: _cudnn_forward,
    _aten._cudnn_rnn_backward.default: _cudnn_backward,
}


def _new_tensor(watch: Watch) -> Callable[..., Tensor]:
    """Return what makes a tensor of the host's numbers, for `Tensor.new_tensor`, which copies and waits."""
    plain = torch.Tensor.new_tensor

    def new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
        if not self.is_cuda:
            return plain(self, data, **options)
        watch.wait("new_tensor")
        return self.new_empty(torch.tensor(data, device="cpu").shape, **options)

    return new_tensor


class _Event:
    """Stands in for torch.cuda.Event, and for a stream that is waited for."""

    watch: Watch

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        pass

    def record(self, stream: object = None) -> None:
        self.watch.events.append("record")

    def synchronize(self) -> None:
        self.watch.wait("event.synchronize")
        self.watch.events.append("synchronize")


@contextmanager
def fake_cuda() -> Iterator[Watch]:
    """Make fake CUDA tensors possible; yield what watches them.

    Stand-ins: for autograd, fake tensors are on the device "meta", which needs neither threads nor streams; events; and
    cuDNN's recurrent layers, so that each is one launch.
    """
    watch = Watch()
    with ExitStack() as stack:
        make = _make_subclass(torch.Tensor._make_subclass)
        stack.enter_context(patch.object(torch.Tensor, "_make_subclass", make))
        is_cuda = property(lambda tensor: tensor.device.type == "cuda")
        stack.enter_context(patch.object(FakeTensor, "is_cuda", is_cuda, create=True))
        event = type("Event", (_Event,), {"watch": watch})
        stack.enter_context(patch.object(torch.cuda, "Event", event))
        stack.enter_context(patch.object(torch.cuda, "current_stream", lambda device=None: event()))
        stack.enter_context(patch.object(torch.cuda, "synchronize", lambda device=None: watch.wait("synchronize")))
        stack.enter_context(patch.object(torch.Tensor, "new_tensor", _new_tensor(watch)))
        stack.enter_context(patch.object(torch.backends.cudnn, "is_acceptable", lambda tensor: False))
        for kind in _CUDNN_MODES:
            layer = _cudnn(kind)
            stack.enter_context(patch.object(torch, kind, layer))
            stack.enter_context(patch.object(torch._VF, kind, layer, create=True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(watch)
        yield watch


def _make_subclass(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return what makes a fake tensor that autograd takes for a meta tensor, which needs no threads and no streams."""

    def make(*args: Any, **options: Any) -> Tensor:
        return plain(*args, **{**options, "dispatch_device": False})

    return make


def _cudnn(kind: str) -> Callable[..., Any]:
    """Return a layer of one direction as cuDNN runs it."""

    def run(
        inputs: Tensor,
        state: Tensor | tuple[Tensor, Tensor],
        weights: list[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        hidden, cell = state if isinstance(state, tuple | list) else (state, None)
        output, *states, _reserve, _buffer = torch._cudnn_rnn(
            inputs,
            list(weights),
            4,
            None,
            hidden,
            cell,
            _CUDNN_MODES[kind],
            hidden.shape[-1],
            0,
            num_layers,
            batch_first,
            dropout,
            train,
            bidirectional,
            [],
            None,
        )
        return (output, *states) if cell is not None else (output, states[0])

    return run


def on_gpu(model: Model) -> Model:
    """Give a model that was made on the CPU fake CUDA weights, with those shared that it shares."""
    fakes: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                fake = fakes.setdefault(id(parameter), nn.Parameter(torch.empty(parameter.shape, device=GPU)))
                setattr(module, name, fake)
    return model
