"""The generator behind dropout and teacher forcing: the published numbers, and draws without a pattern."""

import pytest
import torch

from model.philox import LEVELS, _pairs, draw, philox

ALL = 2**32 - 1
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ALL] * 4, [ALL] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
"""Counter, key and result of the reference implementation, Random123 (kat_vectors, philox4x32 of 10 rounds)."""


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_words_are_those_of_the_reference_implementation(
    counter: list[int], key: list[int], result: list[int]
) -> None:
    even, odd = (torch.tensor(counter[first::2]).view(2, 1, 1) for first in (0, 1))
    philox(even, odd, key[0] | key[1] << 32)
    assert [*torch.stack([even, odd], 1).flatten().tolist()] == result


def uniform(seed: int = 1, step: int = 1, stream: int = 0, rows: int = 300, count: int = 200) -> torch.Tensor:
    return (draw(seed, step, stream, torch.arange(rows), count).double() + 0.5) / LEVELS


def test_draws_are_uniform() -> None:
    draws = uniform()
    assert draws.mean().item() == pytest.approx(0, abs=5 * (1 / 12 / draws.numel()) ** 0.5)
    assert draws.var().item() == pytest.approx(1 / 12, rel=0.02)
    counts = torch.histc(draws, 256, -0.5, 0.5)
    expected = draws.numel() / 256
    assert ((counts - expected) ** 2 / expected).sum().item() == pytest.approx(255, abs=5 * (2 * 255) ** 0.5)
    assert (draws.mean(0).abs() < 5 * (1 / 12 / 300) ** 0.5).all(), "every unit alike"
    assert (draws.mean(1).abs() < 5 * (1 / 12 / 200) ** 0.5).all(), "every sentence alike"


@pytest.mark.parametrize(
    "other",
    [
        uniform(seed=2),
        uniform(seed=1 + 2**32),
        uniform(step=2),
        uniform(stream=1),
        uniform().roll(1, 0),
        uniform().roll(1, 1),
        uniform().roll(4, 1),
        uniform().roll(8, 1),
    ],
    ids=["seed", "upper half of the seed", "step", "stream", "sentence", "unit", "word", "block"],
)
def test_draws_of_different_places_are_independent(other: torch.Tensor) -> None:
    correlation = (12 * uniform() * other).mean().item()
    assert correlation == pytest.approx(0, abs=5 / other.numel() ** 0.5)


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5, 2**64 - 1])
def test_the_kernel_draws_what_torch_does(seed: int) -> None:
    rows = torch.tensor([0, 7, 2**32 - 1])
    expected = _pairs(seed, torch.tensor(2**31), 1, rows, 5).view(torch.int16)
    assert torch.equal(draw(seed, torch.tensor(2**31), 1, rows, 40), expected)


def test_a_place_has_its_draws_in_any_batch_and_with_any_number_of_them() -> None:
    rows, whole = torch.tensor([7, 3, 299]), draw(9, 4, 1, torch.arange(300), 50)
    assert torch.equal(draw(9, 4, 1, rows, 50), whole[rows])
    assert torch.equal(draw(9, torch.tensor(4), 1, rows, 13), whole[rows, :13])
