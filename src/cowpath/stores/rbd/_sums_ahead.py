"""Asks for checksums while librbd copies: the source's ahead, the target's behind.

Both clusters wait for each other during a copy, and that time is enough: what is left
to ask for afterwards are those of what arrived last.
"""

import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import Protocol, Self

from cowpath.core.errors import CowpathError
from cowpath.core.model import Seconds
from cowpath.core.transfer import Extent
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._comparing import LANES, parts
from cowpath.stores.rbd._known_sums import KnownSums
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd._librados import ObjectSums, UnableError
from cowpath.stores.rbd._originals import RbdOriginal

_AT_ONCE = 8
"""Parts: enough to keep up, few enough to leave the OSDs to the copy."""

_PAUSE: Seconds = 0.1
"""Before what has not arrived yet is asked for again."""

_AT_A_TIME = 16 * LANES
"""Parts whose versions are asked for before the next ones are."""

_NOT_LIKE_IT = 0
"""Noted as the version of what is not like the source; no object has it."""

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


class VersionedSums(Protocol):
    """Checksums of an image's objects, and the objects' versions."""

    def seen(self, part: Extent) -> tuple[bytes | None, int]:
        """Return the checksum of a part, and its object's version."""
        ...

    def version(self, part: Extent) -> int | None:
        """Return that version now; None if there is no object."""
        ...


OpenSums = Callable[[Layout], AbstractContextManager[VersionedSums]]


class SumsBehind:
    """A thread that asks for a target's checksums as its objects arrive.

    Noted is the version that an object had when a part of it was like the source's:
    while it has that, the part still is. What was not is asked for again at the end.
    """

    def __init__(self, theirs: KnownSums, opened: OpenSums, lanes: Executor) -> None:
        """Compare with `theirs`, which grows meanwhile.

        Args:
            theirs: The source's checksums.
            opened: Opens the objects of a layout.
            lanes: Where the OSDs are asked.
        """
        self._theirs = theirs
        self._versions = array("Q")
        self._opened = opened
        self._lanes = lanes
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, layout: Layout) -> None:
        """Ask from here on; the target's objects are called like this."""
        self._thread = threading.Thread(
            target=self._ask, args=(layout,), name="checksums of a target", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Ask no more. Not beside `begin`."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def known(self, sums: VersionedSums) -> KnownSums:
        """Return those checksums of which the object has not changed since."""
        found, number = KnownSums(), 0
        while several := self._theirs.span(number, self._left(number)):
            # One request for an object would do; over a long way they go together.
            now = self._lanes.map(sums.version, [part for part, _ in several])
            versions = self._versions[number : number + len(several)]
            for (part, value), was, is_ in zip(several, versions, now, strict=True):
                if was == is_:
                    found.add(part, value)
            number += len(several)
        return found

    def _left(self, number: int) -> int:
        return min(_AT_A_TIME, len(self._versions) - number)

    def _ask(self, layout: Layout) -> None:
        with suppress(*_FAILURES), self._opened(layout) as sums:
            while not self._over.is_set():
                wanted = self._theirs.span(len(self._versions), _AT_ONCE)
                if self._arrived(sums, wanted) < _AT_ONCE:
                    self._over.wait(_PAUSE)

    def _arrived(self, sums: VersionedSums, wanted: list[tuple[Extent, bytes]]) -> int:
        """Note those of `wanted` up to the first that is not there; tell how many."""
        asked = [self._lanes.submit(sums.seen, part) for part, _ in wanted]
        wait(asked)
        arrived = 0
        for (_, value), answer in zip(wanted, asked, strict=True):
            found, version = answer.result()
            if found is None:
                break
            self._versions.append(version if found == value else _NOT_LIKE_IT)
            arrived += 1
        return arrived
