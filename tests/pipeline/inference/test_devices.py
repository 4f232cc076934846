"""Which device is used, and why not a GPU: with a torch that is told what GPUs there are."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from pipeline.errors import InputError
from pipeline.inference import devices
from pipeline.inference.devices import (
    device_name,
    gpu_obstacle,
    gpu_obstacles,
    gpu_precision,
    has_code_for,
    is_out_of_memory,
    open_device,
)

Card = Callable[..., None]
CPU_BUILD = f"torch {torch.__version__} is built for CPUs alone; install a build for CUDA"


def fails(error: Exception) -> Callable[..., Any]:
    def function(*_: object) -> None:
        raise error

    return function


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """Make torch find an RTX 4090 that works, but for what is told otherwise."""

    def insert(**told: object) -> None:
        working: dict[str, object] = {
            "init": lambda: None,
            "device_count": lambda: 1,
            "get_device_name": lambda _: "RTX 4090",
            "get_device_capability": lambda _: (8, 9),
            "get_arch_list": lambda: ["sm_80", "sm_90", "compute_90"],
            "mem_get_info": lambda _: (20 * 2**30, 24 * 2**30),
        }
        monkeypatch.setattr("torch.backends.cuda.is_built", lambda: True)
        monkeypatch.setattr(devices, "_try", told.pop("trial", lambda _: None))
        for name, value in (working | told).items():
            monkeypatch.setattr(torch.cuda, name, value)

    return insert


def test_a_card_that_works_is_used(card: Card) -> None:
    card()
    assert gpu_obstacle() is None
    assert [open_device(choice, "x").type for choice in ("auto", "gpu", "cpu")] == ["cuda", "cuda", "cpu"]
    assert [device_name(torch.device(name)) for name in ("cuda", "cpu")] == ["RTX 4090", "CPU"]


OLD_DRIVER = RuntimeError(
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            {"init": fails(OLD_DRIVER)},
            r"The NVIDIA driver on your system is too old \(found version 11040\); mend what",
        ),
        ({"init": fails(AssertionError("No CUDA GPUs are available"))}, "No CUDA GPUs are available; mend what"),
        (
            {"get_arch_list": lambda: ["sm_75"]},
            r"torch .* has no code for RTX 4090 \(sm_89\); install a build that has",
        ),
        ({"mem_get_info": lambda _: (2**29, 24 * 2**30)}, "RTX 4090 has 0.5 of 24.0 GiB of memory free, and 1 GiB is"),
        (
            {
                "trial": fails(
                    RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")
                )
            },
            "CUDA error: no kernel image is available for execution on the device; mend what",
        ),
        (
            {"trial": fails(torch.OutOfMemoryError("CUDA out of memory. Tried"))},
            "CUDA out of memory; end what uses its",
        ),
    ],
)
def test_what_is_in_the_way_is_told_in_a_line_with_a_remedy(card: Card, told: dict[str, object], reason: str) -> None:
    card(**told)
    found = gpu_obstacle()
    assert found is not None
    assert "\n" not in found
    assert open_device("auto", "x").type == "cpu"
    with pytest.raises(InputError, match=f"--device gpu: the GPU cannot be used: {reason}.*, or choose cpu$"):
        open_device("gpu", "--device gpu")


def test_each_of_several_cards_is_looked_at(card: Card) -> None:
    card(device_count=lambda: 2, get_device_capability=lambda number: ((8, 9), (3, 5))[number])
    (obstacle,) = gpu_obstacles()
    assert obstacle.startswith(f"GPU 1: torch {torch.__version__} has no code for RTX 4090 (sm_35)")


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="a build for CUDA")  # type: ignore[no-untyped-call]
def test_a_build_for_cpus_says_so() -> None:
    assert gpu_obstacle() == CPU_BUILD
    assert gpu_obstacles() == [CPU_BUILD]


def test_a_device_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="--device tpu: there is no such device; choose one of auto, cpu, gpu"):
        open_device("tpu", "--device tpu")


@pytest.mark.parametrize(
    ("architectures", "capability", "has"),
    [
        (["sm_80"], (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_90a"], (9, 0), True),
        (["sm_90a"], (12, 0), False),
        (["sm_100f"], (10, 3), True),
        (["compute_80"], (12, 0), True),
        (["compute_90"], (8, 0), False),
        (["gfx942"], (9, 4), True),
        ([], (8, 0), False),
    ],
)
def test_code_for_a_card(architectures: Sequence[str], capability: tuple[int, int], has: bool) -> None:
    assert has_code_for(capability, architectures) == has


def precisions() -> list[str]:
    cudnn: Any = torch.backends.cudnn
    return [cudnn.rnn.fp32_precision, cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision]


def test_a_gpu_computes_in_fp32_unless_asked_and_what_others_set_is_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "tf32")
    before = precisions()
    with gpu_precision():
        assert precisions() == ["ieee"] * 3
        with gpu_precision(rounded=True):
            assert precisions() == ["tf32", "ieee", "ieee"]
        assert precisions() == ["ieee"] * 3
    assert precisions() == before


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_too_little_memory_is_recognised_however_it_is_told(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory
