"""Sums of vectors over the workers of one machine, through memory that all of them map."""

import os
import secrets
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

MEMORY = Path("/dev/shm")  # noqa: S108 (files there are memory; ours has a name no one can guess, for a moment)
TOKEN_BITS = 62


class SharedSums:
    """Adds up a vector of each worker, on all: several times as fast as a collective over a machine's own network.

    Every worker writes its vector into a row of its own, adds up a part of all rows, and takes the parts that the
    others have added up: the same sums everywhere, in an order that is always the same.
    """

    def __init__(self, rows_WN: Tensor) -> None:
        """Take memory that all workers share, a row for each; see `share`."""
        self._rows_WN = rows_WN
        self._rank = dist.get_rank()
        self._sent = torch.zeros(1)

    @classmethod
    def share(cls, size: int) -> "SharedSums | None":
        """Make room for vectors of `size` float32; a collective. None, for all, if they do not share memory."""
        shape = dist.get_world_size(), size
        file = MEMORY / f"nmt-{_agree_on_token()}"
        try:
            if dist.get_rank() == 0:
                _make(file, shape[0] * shape[1] * 4)
            dist.barrier()
            rows_WN = _mapped(file, shape)
            have = torch.tensor(0.0 if rows_WN is None else 1.0)
            dist.all_reduce(have, dist.ReduceOp.MIN)
        finally:
            if dist.get_rank() == 0:
                file.unlink(missing_ok=True)  # The memory goes with the last process that has it mapped.
        return None if rows_WN is None or not have else cls(rows_WN)

    def sum(self, vectors: list[Tensor]) -> Tensor:
        """Return the sums over the workers of the vectors, one after the other."""
        torch.cat(vectors, out=self._rows_WN[self._rank])
        self._wait()
        parts_W = [row_N.tensor_split(len(self._rows_WN)) for row_N in self._rows_WN]
        own = parts_W[self._rank][self._rank]
        for rank, parts in enumerate(parts_W):
            if rank != self._rank:
                own += parts[self._rank]
        self._wait()
        sums_N = torch.cat([parts[rank] for rank, parts in enumerate(parts_W)])
        self._wait()  # Or the next sum's rows would be written where others still read.
        return sums_N

    def _wait(self) -> None:
        """Wait for all workers, by the least that they can send each other."""
        dist.all_reduce(self._sent)


def _agree_on_token() -> int:
    """Return a number that the first worker has drawn."""
    token = torch.tensor(secrets.randbits(TOKEN_BITS))
    dist.broadcast(token, src=0)
    return int(token)


def _make(file: Path, size: int) -> None:
    """Make a file for this user alone, with its memory taken: a container may have little of it."""
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError:
        file.unlink()
    finally:
        os.close(handle)


def _mapped(file: Path, shape: tuple[int, int]) -> Tensor | None:
    if not file.exists():
        return None
    return torch.from_file(str(file), shared=True, size=shape[0] * shape[1]).view(shape)
