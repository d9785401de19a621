"""Several requests at once, their answers in order, in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent, Terms
from cowpath.provision.copying.progress import Progress

Result = TypeVar("Result")

_MEMORY = Bytes(48 * 1024**2)
"""A store's client keeps copies of what it reads and writes: with librbd 16.2 a process
that copied 1 GiB from cluster to cluster grew by 170 to 245 MiB with this much (and by
338 with 128 MiB). `deep_copy`, whose requests are librbd's own, has it grow by 240."""
_AHEAD = 2
"""Requests that are begun or answered, for each lane: hashing is never kept waiting."""


class Memory:
    """What the answers of all copies of a process may hold together."""

    def __init__(self, size: Bytes = _MEMORY) -> None:
        """Allow `size` bytes."""
        self._free = int(size)
        self._lock = threading.Lock()

    def take(self, length: int, *, anyway: bool) -> bool:
        """Take so many bytes if they are free, or `anyway`; tell whether it did."""
        with self._lock:
            taken = anyway or self._free >= length
            self._free -= length if taken else 0
        return taken

    def give(self, length: int) -> None:
        """Give them back."""
        with self._lock:
            self._free += length


class Lanes:
    """A bounded number of threads that work on extents.

    Attributes:
        progress: Is told of while something is waited for.
    """

    def __init__(
        self, lanes: int, besides: int, memory: Memory, progress: Progress
    ) -> None:
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="transfer")
        self._beside = ThreadPoolExecutor(besides, thread_name_prefix="transfer-beside")
        self._most = _AHEAD * lanes
        self._running: set[Future[Any]] = set()
        self._memory = memory
        self.progress = progress

    def _submit(
        self, pool: ThreadPoolExecutor, work: Callable[..., Result], *given: Extent
    ) -> Future[Result]:
        future = pool.submit(work, *given)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what comes of `work`, and tell of progress meanwhile."""
        return self.progress.wait(self._submit(self._pool, work))

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """Have `work` done beside the extents, a few at once."""
        return self._submit(self._beside, work)

    def end(self) -> None:
        """Wait for what is being done, and tell of progress meanwhile.

        What was not begun never will be.
        """
        pools = self._pool, self._beside
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        try:
            for future in tuple(self._running):
                self.progress.settle(future)
        finally:
            for pool in pools:
                pool.shutdown(wait=True)

    def map(
        self, work: Callable[[Extent], Result], extents: Iterable[Extent]
    ) -> Iterator[tuple[Extent, Result]]:
        """Yield each extent with what comes of it, in the order of `extents`.

        The bytes are given back when the next one is asked for. Each copy always gets
        those of one extent, so that none waits for another.
        """
        flying: deque[tuple[Extent, Future[Result]]] = deque()
        try:
            for extent in extents:
                if flying and flying[0][1].done():
                    # One: meanwhile the next ones are to be begun.
                    yield self._land(flying)
                while not self._admits(extent, len(flying)):
                    yield self._land(flying)
                flying.append((extent, self._submit(self._pool, work, extent)))
            while flying:
                yield self._land(flying)
        finally:
            self._memory.give(sum(extent.length for extent, _ in flying))

    def _admits(self, extent: Extent, flying: int) -> bool:
        if flying >= self._most:
            return False
        return self._memory.take(extent.length, anyway=not flying)

    def _land(
        self, flying: deque[tuple[Extent, Future[Result]]]
    ) -> tuple[Extent, Result]:
        extent, future = flying[0]
        result = self.progress.wait(future)
        flying.popleft()
        self._memory.give(extent.length)
        return extent, result


@contextmanager
def lanes(
    terms: Terms, besides: int, memory: Memory, progress: Progress
) -> Iterator[Lanes]:
    """Give threads for `terms` and `besides` more; none works on afterwards."""
    work = Lanes(terms.lanes, besides, memory, progress)
    try:
        yield work
    finally:
        work.end()
