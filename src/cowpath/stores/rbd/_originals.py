"""An RBD image that is open for reading."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cowpath.core.errors import NotFoundError
from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent
from cowpath.stores.rbd import _imaging
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd._librados import Librados
from cowpath.stores.rbd._ranges import pieces

Telling = Callable[[str], AbstractContextManager[None]]
"""Translates what the libraries raise, told what is being done."""


@dataclass(frozen=True, slots=True)
class RbdOriginal:
    """A snapshot that is open for reading. Implements `core.transfer.Original`.

    Attributes:
        opened: The image, turned to it.
        pool: Where its header is.
        layout: How its bytes lie in the cluster.
        where: Its pool, image and snapshot.
        chunk: Bytes of an extent at most.
        librados: What asks the cluster for checksums.
    """

    opened: librbd.Opened
    pool: librbd.Pool
    layout: Layout
    where: str
    chunk: int
    librados: Librados
    telling: Telling

    @property
    def size(self) -> Bytes:
        """Return how large it is, holes included."""
        return self.layout.size

    def extents(self) -> Iterator[Extent]:
        """Yield what may hold data, in order."""
        with self.telling(f"list what {self.where} holds"):
            for start, end in _imaging.extents(self.opened, self.size):
                yield from pieces(start, end, self.chunk)

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of `extent`."""
        with self.telling(f"read {extent.length} bytes of {self.where}"):
            return bytes(self.opened.read(extent.offset, extent.length))

    def unchanged(self) -> None:
        """Accept that what was read until now was what was opened.

        Raises:
            NotFoundError: It was removed, or replaced, and may have read as zeros.
        """
        with self.telling(f"look for {self.where}"):
            if _imaging.is_there(self.pool, self.layout):
                return
        raise NotFoundError(
            f"{self.where} was removed, or replaced, while it was read: what was "
            f"copied of it is not used. See whether the image was deleted"
        )
