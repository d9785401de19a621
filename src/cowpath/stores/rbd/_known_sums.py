"""Checksums that were told already, in little memory; pure."""

from array import array
from bisect import bisect_left

from cowpath.core.transfer import Extent


class KnownSums:
    """Checksums of parts, added in order; 20 bytes for each."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._lengths = array("I")
        self._sums = bytearray()

    def add(self, part: Extent, found: bytes) -> None:
        """Add that of what lies behind all that was added before."""
        self._offsets.append(part.offset)
        self._lengths.append(part.length)
        self._sums += found

    def get(self, part: Extent) -> bytes | None:
        """Return that of exactly this part; None if it is not known."""
        at = bisect_left(self._offsets, part.offset)
        if at == len(self._offsets) or self._offsets[at] != part.offset:
            return None
        if self._lengths[at] != part.length:
            return None
        width = len(self._sums) // len(self._offsets)
        return bytes(self._sums[at * width : (at + 1) * width])
