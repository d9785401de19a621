"""A copy of an image in the making: a file that one process at a time writes."""

import errno
import fcntl
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from stat import S_ISREG

from cowpath.core.errors import BusyError, ConflictError, NotFoundError
from cowpath.core.model import Bytes, ImageId, Location
from cowpath.core.transfer import Extent, Original, Terms
from cowpath.core.transfer_rules import runs
from cowpath.stores.file._failures import translated
from cowpath.stores.file._folder import bytes_taken
from cowpath.stores.file._marks import bond
from cowpath.stores.file._original import FileOriginal

_CLONE = 0x40049409
"""FICLONE of linux/fs.h: share all blocks with another file."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MARK = "user.cowpath.copy"
_PRIVATE = 0o600
"""Of a draft; the image may be one that not everybody here may read."""
_TRIES = 10
"""Each other one found that its file had just been published or discarded."""
READ_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileDraft(FileOriginal):
    """Implements `core.transfer.Draft`.

    Attributes:
        resumed: Bytes of an earlier try may be there already.
    """

    def __init__(
        self,
        fd: int,
        path: Path,
        terms: Terms,
        *,
        resumed: bool,
        publishing: Callable[[int], Location],
    ) -> None:
        super().__init__(fd, path, terms)
        self.resumed = resumed
        self._publishing = publishing

    def unchanged(self) -> None:
        """Accept that the file has a name still."""
        with translated(f"cannot look at {self._path}", self._path.parent):
            if not os.fstat(self.fd).st_nlink:
                raise NotFoundError(
                    f"{self._path} was removed while it was written: see who does "
                    f"that, then copy again"
                )

    def present(self) -> Bytes:
        """Return how many bytes have arrived."""
        return bytes_taken(os.fstat(self.fd))

    def take(self, original: Original) -> bool:
        """Share the blocks of another file, where the filesystem can."""
        if not isinstance(original, FileOriginal):
            return False
        try:
            fcntl.ioctl(self.fd, _CLONE, original.fd)
        except OSError as error:
            if error.errno in _FULL:
                with self._changing():
                    raise
            return False  # another filesystem, or one without shared blocks
        return True

    def write(self, extent: Extent, data: bytes) -> None:
        """Put `data` at `extent`; runs of zeros stay holes."""
        with self._changing():
            for part, filled in runs(extent, data):
                if filled or self.holds_data(part):
                    begin = part.offset - extent.offset
                    self._put(memoryview(data)[begin : begin + part.length], part)

    def differing(
        self, _original: Original, _extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        """Return None: no filesystem tells checksums."""
        return None

    def publish(self) -> Location:
        """Give the file the name under which Glance finds it."""
        with self._changing():
            return self._publishing(self.fd)

    def discard(self) -> None:
        """Remove the file, if it has its draft's name still."""
        with self._changing(), suppress(FileNotFoundError):
            if os.path.samestat(self._path.lstat(), os.fstat(self.fd)):
                self._path.unlink()

    def _put(self, data: memoryview, part: Extent) -> None:
        at = int(part.offset)
        while data:
            written = os.pwrite(self.fd, data, at)
            data, at = data[written:], at + written

    def _changing(self) -> AbstractContextManager[None]:
        return translated(f"cannot write {self._path}", self._path.parent)


class CopyMarks:
    """Our mark on a copy: in the file's own attributes, bound to its inode.

    So it goes when Glance removes the file, and a copy of the file does not have it.
    Where the filesystem has no such attributes, only this object knows.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def put(self, fd: int, image: ImageId) -> None:
        """Mark the file as our copy of `image`."""
        text = _bond(fd, image)
        self._known.add(text)
        try:
            os.setxattr(fd, _MARK, text.encode())
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise

    def drop(self, fd: int, image: ImageId) -> None:
        """Have it be our copy no more."""
        self._known.discard(_bond(fd, image))
        try:
            os.removexattr(fd, _MARK)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise

    def has(self, fd: int, image: ImageId) -> bool:
        """Tell whether the file is our copy of `image`."""
        text = _bond(fd, image)
        try:
            return os.getxattr(fd, _MARK) == text.encode()
        except OSError:
            return text in self._known


def open_alone(path: Path, image: ImageId) -> int:
    """Return the draft's file, open and locked; made if need be.

    Raises:
        BusyError: Somebody else has it locked.
        ConflictError: There is something else of that name.
    """
    for _ in range(_TRIES):
        if path.is_symlink():
            raise _foreign(path)
        fd = os.open(path, READ_WRITE | os.O_CREAT, _PRIVATE)
        try:
            _lock(fd, path, image)
            status = os.fstat(fd)
            with suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), status):
                    _check_ours(status, path)
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise _busy(path, image)


def _lock(fd: int, path: Path, image: ImageId) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _busy(path, image) from error


def _busy(path: Path, image: ImageId) -> BusyError:
    return BusyError(
        f"image {image} is being copied to {path.parent} by another process (see who: "
        f"fuser -v {shlex.quote(str(path))}): wait until it has ended, then look again"
    )


def _check_ours(status: os.stat_result, path: Path) -> None:
    if not S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise _foreign(path)


def _foreign(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} is no file of ours: it is no regular file, or has other names too: "
        f"see who made it (ls -li {shlex.quote(str(path))}), and move it away by hand"
    )


def _bond(fd: int, image: ImageId) -> str:
    return f"{image} {' '.join(map(str, bond(fd)))}"
