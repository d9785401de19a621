"""Many extents in little memory: an image of a TiB has a quarter million."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent


class Extents:
    """Extents in the order of their offsets; 12 bytes for each."""

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._offsets = array("Q")
        self._lengths = array("I")
        for extent in extents:
            self.append(extent)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Extent]:
        for offset, length in zip(self._offsets, self._lengths, strict=True):
            yield Extent(Bytes(offset), Bytes(length))

    def __contains__(self, extent: Extent) -> bool:
        return self.index(extent) is not None

    @property
    def begin(self) -> int:
        """Return where the first of them begins; there is one."""
        return self._offsets[0]

    def append(self, extent: Extent) -> None:
        """Add one that lies behind all the others."""
        self._offsets.append(extent.offset)
        self._lengths.append(extent.length)

    def index(self, extent: Extent) -> int | None:
        """Return which one it is; None if it is not exactly one of them."""
        at = bisect_left(self._offsets, extent.offset)
        if at == len(self._offsets) or self._offsets[at] != extent.offset:
            return None
        return at if self._lengths[at] == extent.length else None


class Digests:
    """A digest of 32 bytes for each of some extents, as far as it is known.

    Safe to share between threads that note different ones.
    """

    _WIDTH = 32
    _UNKNOWN = bytes(_WIDTH)

    def __init__(self, extents: Extents) -> None:
        self._extents = extents
        self._digests = bytearray(self._WIDTH * len(extents))

    def note(self, extent: Extent, digest: bytes) -> None:
        """Take note of one."""
        at = self._extents.index(extent)
        if at is not None:
            self._digests[at * self._WIDTH : (at + 1) * self._WIDTH] = digest

    def get(self, extent: Extent) -> bytes | None:
        """Return one; None if it is not known."""
        at = self._extents.index(extent)
        if at is None:
            return None
        found = bytes(self._digests[at * self._WIDTH : (at + 1) * self._WIDTH])
        return None if found == self._UNKNOWN else found
