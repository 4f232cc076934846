"""Which device a model computes on: whether torch can use the GPU, in what precision, and what too little memory is.

Part of every registered version, as translator.py is: a version that was made on a GPU runs where there is none.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

from pipeline.errors import InputError

DeviceChoice = Literal["auto", "cpu", "gpu"]
"""auto: a GPU where torch can use one, else the CPU."""
CPU, GPU = torch.device("cpu"), torch.device("cuda")
LEAST_BYTES = 2**30
"""Memory that has to be free on a GPU: torch's own code takes half of it before the first tensor."""
OUT_OF_MEMORY = re.compile(r"_STATUS_\w*ALLOC(ATION)?_FAILED|out of memory|can't allocate memory|not enough memory")
"""In the RuntimeErrors that cuBLAS, cuDNN, CUDA and torch's allocator on CPUs raise."""


def open_device(choice: str, option: str) -> torch.device:
    """Return the device that `choice` stands for; `option` is the field and its value, for messages.

    Raises InputError for `gpu` where torch cannot use one, and for what is no choice.
    """
    check_choice(choice, option)
    if choice == "cpu":
        return CPU
    obstacle = gpu_obstacle()
    if obstacle is not None and choice == "gpu":
        raise InputError(f"{option}: the GPU cannot be used: {obstacle}, or choose cpu")
    return GPU if obstacle is None else CPU


def check_choice(choice: str, option: str) -> None:
    """Raise InputError for what is no choice of a device."""
    if choice not in get_args(DeviceChoice):
        raise InputError(f"{option}: there is no such device; choose one of {', '.join(get_args(DeviceChoice))}")


def gpu_obstacle(number: int = 0) -> str | None:
    """Return why torch cannot compute on this process's GPU of that number, and a remedy; None if it can.

    Asks for what is there (code for GPUs, a driver that fits it, code for this card, free memory), and then has it
    compute, since what is there may still not work. What this takes of the GPU's memory is kept for the process.
    """
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return f"torch {torch.__version__} is built for CPUs alone; install a build for CUDA"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They tell at length what the errors tell.
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            name, capability = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
            if not has_code_for(capability, torch.cuda.get_arch_list()):
                needed = f"sm_{capability[0]}{capability[1]}"
                return f"torch {torch.__version__} has no code for {name} ({needed}); install a build that has"
            free, total = torch.cuda.mem_get_info(number)
            if free < LEAST_BYTES:
                gib = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB"
                return f"{name} has {gib} of memory free, and 1 GiB is needed; end what uses it"
            _try(torch.device("cuda", number))
        except (RuntimeError, AssertionError) as error:
            remedy = "end what uses its memory" if is_out_of_memory(error) else "mend what `nvidia-smi` says of it"
            return f"{first_sentence(error)}; {remedy}"
    return None


def has_code_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Return whether code for these architectures runs on a card of a compute capability, major and minor.

    Code of a card (sm_80) runs on those of the same generation that are not older; of a whole generation (sm_100f),
    likewise; of one card and its special units (sm_90a), on that alone; text for all (compute_90), on all that are not
    older. What is named otherwise is not NVIDIA's, and left to a trial.

    >>> [has_code_for(card, ["sm_80", "sm_90a", "compute_90"]) for card in ((8, 9), (7, 5), (12, 0))]
    [True, False, True]
    """
    for architecture in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
        if found is None:
            return True
        kind, (major, minor) = found[1], (int(found[2]), int(found[3]))
        if found[4] == "a":
            fits = (major, minor) == capability
        elif kind == "sm":
            fits = major == capability[0] and minor <= capability[1]
        else:
            fits = (major, minor) <= capability
        if fits:
            return True
    return False


def _try(device: torch.device) -> None:
    """Have a GPU multiply and run a recurrence; raise RuntimeError where one of its libraries does not work."""
    identity = torch.eye(8, device=device)
    if not torch.equal(identity @ identity, identity):
        raise RuntimeError(f"{torch.cuda.get_device_name(device)} multiplies wrongly")
    with torch.inference_mode():
        outputs, _ = torch.nn.LSTM(8, 8, device=device)(identity.unsqueeze(0))
    if not outputs.isfinite().all():
        raise RuntimeError(f"{torch.cuda.get_device_name(device)} computes wrongly")


def gpu_obstacles() -> list[str]:
    """Return what is in the way of each of this process's GPUs that torch cannot use, with its number if of several."""
    count = torch.cuda.device_count() or 1  # None that torch finds: let it say why.
    found = {number: gpu_obstacle(number) for number in range(count)}
    return [f"GPU {number}: {why}" if count > 1 else why for number, why in found.items() if why is not None]


def device_name(device: torch.device) -> str:
    """Return what a device is called: the card's name, or CPU."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "CPU"


@contextmanager
def gpu_precision(*, rounded: bool = False) -> Iterator[None]:
    """Have a GPU compute in full fp32 inside the context or, if `rounded`, let cuDNN's recurrences use TF32.

    torch rounds in them by default, whatever it does in other products. Settings that others made are back afterwards:
    the process may be a user's program.
    """
    cudnn: Any = torch.backends.cudnn
    products = (cudnn.rnn, cudnn.conv, torch.backends.cuda.matmul)
    before = [each.fp32_precision for each in products]
    for each in products:
        each.fp32_precision = "ieee"
    if rounded:
        products[0].fp32_precision = "tf32"
    try:
        yield
    finally:
        for each, precision in zip(products, before, strict=True):
            each.fp32_precision = precision


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is too little memory, of a GPU or of the machine.

    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    True
    """
    told = isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None
    return told or isinstance(error, torch.OutOfMemoryError | MemoryError)


def first_sentence(error: BaseException) -> str:
    """Return the first sentence of an error's message, or the name of its class."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.partition(". ")[0].rstrip(".")
