"""An iterator's items, prepared by a thread while earlier ones are used."""

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
PATIENCE = 0.1
"""Seconds after which a thread that waits for room looks whether its items are still wanted."""


def ahead(items: Iterable[Item], count: int) -> Generator[Item, None, None]:
    """Yield the items, of which a thread prepares up to `count` ahead.

    What the items raise is raised here, in their place. The thread ends with them, or when the generator is closed.
    """
    preparation = _Preparation(items, count)
    thread = Thread(target=preparation.run, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            ready = preparation.ready.get()
            if isinstance(ready, _End):
                if ready.error is not None:
                    raise ready.error
                return
            yield ready
    finally:
        preparation.unwanted.set()
        thread.join()


class _End:
    """Comes after the last item."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class _Preparation(Generic[Item]):
    """What the thread does."""

    def __init__(self, items: Iterable[Item], count: int) -> None:
        self.ready: Queue[Item | _End] = Queue(count)
        self.unwanted = Event()
        self._items = items

    def run(self) -> None:
        end = _End()
        try:
            for item in self._items:
                self._put(item)
                if self.unwanted.is_set():
                    return
        except Exception as error:  # It is raised where the item is missed.
            end = _End(error)
        self._put(end)

    def _put(self, what: Item | _End) -> None:
        while not self.unwanted.is_set():
            try:
                self.ready.put(what, timeout=PATIENCE)
            except Full:
                continue
            return
