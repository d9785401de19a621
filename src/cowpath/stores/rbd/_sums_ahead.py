"""Asks for a source's checksums while librbd copies it.

Both clusters wait for each other during a copy, and that time is enough: what is left
to ask for afterwards are the target's.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from itertools import islice
from typing import Self

from cowpath.core.errors import CowpathError
from cowpath.core.transfer import Extent
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._comparing import parts
from cowpath.stores.rbd._known_sums import KnownSums
from cowpath.stores.rbd._librados import ObjectSums, UnableError
from cowpath.stores.rbd._originals import RbdOriginal

_AT_ONCE = 8
"""Parts: enough to keep up, few enough to leave the OSDs to the copy."""

_Asked = tuple[Extent, Future[bytes | None]]

_FAILURES = (CowpathError, UnableError, *librbd.Error)
"""After which nothing more is asked for here; it is afterwards."""


class Remembering:
    """Tells what is known already, and asks for the rest."""

    def __init__(self, sums: ObjectSums, known: KnownSums | None) -> None:
        self._sums = sums
        self._known = known

    def of(self, part: Extent) -> bytes | None:
        """Return the checksum of a part of an object; None if there is no object."""
        return (self._known and self._known.get(part)) or self._sums.of(part)


class SumsAhead:
    """A thread that asks for a source's checksums, in order, until it is left.

    Attributes:
        known: Those that it was told; to be read when it was left.
    """

    def __init__(self, original: RbdOriginal, lanes: Executor) -> None:
        self.known = KnownSums()
        self._original = original
        self._lanes = lanes
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._ask, name=f"checksums of {original.where}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        original = self._original
        with (
            suppress(*_FAILURES),
            original.librados.sums(original.layout) as sums,
        ):
            size, extents = original.layout.object_size, original.extents()
            self._keep(sums, (part for each in extents for part in parts(each, size)))

    def _keep(self, sums: ObjectSums, rest: Iterator[Extent]) -> None:
        asked: deque[_Asked] = deque()
        try:
            while not self._over.is_set():
                fresh = islice(rest, _AT_ONCE - len(asked))
                asked.extend(
                    (each, self._lanes.submit(sums.of, each)) for each in fresh
                )
                if not asked:
                    return
                part, found = asked.popleft()
                value = found.result()
                if value:
                    self.known.add(part, value)
        finally:
            wait([found for _, found in asked])
