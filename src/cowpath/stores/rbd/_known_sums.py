"""Checksums that were told already, in little memory; pure."""

import threading
from array import array
from bisect import bisect_left

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent

_WIDTH = 8


class KnownSums:
    """Checksums of parts, added in order; 20 bytes for each.

    Safe to share between one thread that adds and others that read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offsets = array("Q")
        self._lengths = array("I")
        self._sums = bytearray()

    def add(self, part: Extent, found: bytes) -> None:
        """Add that of what lies behind all that was added before."""
        with self._lock:
            self._offsets.append(part.offset)
            self._lengths.append(part.length)
            self._sums += found

    def get(self, part: Extent) -> bytes | None:
        """Return that of exactly this part; None if it is not known."""
        with self._lock:
            at = bisect_left(self._offsets, part.offset)
            known = self._span(at, at + 1)
        return known[0][1] if known and known[0][0] == part else None

    def span(self, begin: int, most: int) -> list[tuple[Extent, bytes]]:
        """Return at most so many of them, from the one with this number on."""
        with self._lock:
            return self._span(begin, begin + most)

    def _span(self, begin: int, end: int) -> list[tuple[Extent, bytes]]:
        return [
            (
                Extent(Bytes(self._offsets[at]), Bytes(self._lengths[at])),
                bytes(self._sums[at * _WIDTH : (at + 1) * _WIDTH]),
            )
            for at in range(begin, min(end, len(self._offsets)))
        ]
