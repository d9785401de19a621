"""An image's file, open to be read by several threads."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cowpath.core.errors import NotFoundError, UnavailableError
from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent, Terms
from cowpath.core.transfer_rules import split
from cowpath.stores.file._failures import translated


class FileOriginal:
    """Implements `core.transfer.Original`.

    Attributes:
        fd: Has the file open. It stays readable when somebody removes its name.
    """

    def __init__(self, fd: int, path: Path, terms: Terms) -> None:
        self.fd = fd
        self._path = path
        self._terms = terms
        self._opened = os.fstat(fd)
        self._size = Bytes(self._opened.st_size)

    @property
    def size(self) -> Bytes:
        """Return how large it is, holes included."""
        return self._size

    @property
    def where(self) -> str:
        """Return its path."""
        return str(self._path)

    def extents(self) -> Iterator[Extent]:
        """Yield what the filesystem keeps bytes for."""
        return split(self._filled(), self._terms.chunk)

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of `extent`."""
        with translated(f"cannot read {self._path}", self._path.parent):
            data = os.pread(self.fd, extent.length, extent.offset)
            while len(data) < extent.length:
                at = extent.offset + len(data)
                more = os.pread(self.fd, extent.length - len(data), at)
                if not more:
                    raise UnavailableError(
                        f"{self._path} became shorter while it was read (it ends at "
                        f"{at} of {self._size} bytes): see who changes it"
                    )
                data += more
        return data

    def unchanged(self) -> None:
        """Accept that nobody wrote to the file or took its name away."""
        with translated(f"cannot read {self._path}", self._path.parent):
            now = os.fstat(self.fd)
        was = self._opened
        same = now.st_size == was.st_size and now.st_mtime_ns == was.st_mtime_ns
        if not same or not now.st_nlink:
            raise NotFoundError(
                f"{self._path} was removed or written to while it was read, so what "
                f"was read is not used: see who changes it"
            )

    def holds_data(self, extent: Extent) -> bool:
        """Tell whether the filesystem keeps bytes for any of `extent`."""
        found = self._seek(extent.offset, os.SEEK_DATA)
        return found is not None and found < extent.end

    def _filled(self) -> Iterator[Extent]:
        end = 0
        while (begin := self._seek(end, os.SEEK_DATA)) is not None:
            end = self._seek(begin, os.SEEK_HOLE) or self._size
            yield Extent(Bytes(begin), Bytes(min(end, self._size) - begin))

    def _seek(self, offset: int, what: int) -> int | None:
        """Return where data, or a hole, begins; None behind the last of it."""
        # Nobody reads at the file's position, so it may move.
        if offset >= self._size:
            return None
        try:
            found = os.lseek(self.fd, offset, what)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            raise
        return found if found < self._size else None
