"""Chunks of pairs worked on in their order, on all cores or nodes if there are many."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

Pair = tuple[str, str]
Result = TypeVar("Result")
Work = Callable[[int, Sequence[Pair]], Result]
"""What is done with a chunk, of which the number of the first pair is given, too."""
PAIRS = 4_000
"""Pairs of a chunk."""
ALONE = 8
"""So many chunks are done before it is worth it to start processes."""

_work: Work[Any] | None = None
"""That of a process of the pool."""


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(Protocol):
    """Processes that work on chunks."""

    @property
    def size(self) -> int:
        """How many there are."""

    def submit(self, first: int, pairs: list[Pair]) -> Callable[[], Any]:
        """Begin with a chunk; what is returned waits for what becomes of it."""


Pools = Callable[[Callable[..., Work[Any]], tuple[Any, ...]], AbstractContextManager[Pool]]
"""Makes a pool whose processes have each done `prepare(*arguments)`."""
ELSEWHERE: ContextVar[Pools | None] = ContextVar("ELSEWHERE", default=None)
"""Where chunks are worked on in place of this machine's cores: set by who has a cluster."""


def in_chunks(
    pairs: Iterable[Pair],
    prepare: Callable[..., Work[Result]],
    arguments: tuple[Any, ...] = (),
    processes: int | None = None,
) -> Iterator[Result]:
    """Yield what becomes of each chunk of the pairs, in order; no more than a few are read ahead.

    `prepare(*arguments)` makes the work, once in every process.
    """
    numbered, processes, pools = _numbered(iter(pairs)), cores() if processes is None else processes, ELSEWHERE.get()
    work = prepare(*arguments)
    yield from (work(*chunk) for chunk in islice(numbered, None if processes == 1 and pools is None else ALONE))
    if (following := next(numbered, None)) is None:
        return
    with (pools or _own_cores(processes))(prepare, arguments) as pool:
        waiting = deque([pool.submit(*following)])
        for chunk in numbered:
            waiting.append(pool.submit(*chunk))
            if len(waiting) > 2 * pool.size:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


@dataclass(frozen=True)
class _Processes:
    """Processes of this machine."""

    size: int
    _executor: ProcessPoolExecutor

    def submit(self, first: int, pairs: list[Pair]) -> Callable[[], Any]:
        return self._executor.submit(_do, first, pairs).result


def _own_cores(processes: int) -> Pools:
    @contextmanager
    def pool(prepare: Callable[..., Work[Any]], arguments: tuple[Any, ...]) -> Iterator[Pool]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _start, (prepare, arguments)) as executor:
            try:
                yield _Processes(processes, executor)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)

    return pool


def _numbered(pairs: Iterator[Pair]) -> Iterator[tuple[int, list[Pair]]]:
    """Yield chunks of pairs with the number of the first, from 1."""
    number = 1
    while chunk := list(islice(pairs, PAIRS)):
        yield number, chunk
        number += len(chunk)


def _start(prepare: Callable[..., Work[Any]], arguments: tuple[Any, ...]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The process that reads decides what Ctrl-C means.
    threading.Thread(target=end_with_parent, daemon=True).start()
    _work = prepare(*arguments)


def end_with_parent() -> None:
    """End this process of a pool when the process that has started it is gone, however it ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # The pool itself does not notice.


def _do(first: int, pairs: list[Pair]) -> Any:
    assert _work is not None
    return _work(first, pairs)
