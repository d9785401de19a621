"""QEMU's image lock: who has a disk open, and having it to ourselves.

QEMU locks single bytes of a file (block/file-posix.c): byte 100 + n says "I have
permission n", byte 200 + n "nobody else may have it"; 0 is reading, 1 writing, 3
resizing. Seen with QEMU 7.2:

    open for writing                             100 101 103   201 203
    open for reading, also below an open overlay 100           201 203
    open for reading with -U                     100

A reader of `-U` does not mind what becomes of the file, so it counts as nobody.
Looking costs a system call or two; `qemu-img info` costs a process, and sees no
readers, for it is one itself.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from cowpath.core.errors import ConflictError

# struct flock: type, whence, start, length, pid
_FLOCK = struct.Struct("hhqqi4x")
_READ = 0
_PERMISSIONS = 4
_HAVE, _SHARE_NOT = 100, 200


class Use(Enum):
    """What QEMU does with a file."""

    NONE = auto()
    READING = auto()
    WRITING = auto()


def use_of(path: Path) -> Use:
    """Return what the QEMU that has `path` open, if any, does with it."""
    with _opened(path) as fd:
        return _use(fd)


@contextmanager
def to_ourselves(path: Path, doing: str) -> Iterator[None]:
    """Keep every QEMU from opening `path`.

    Raises:
        ConflictError: One has it open.
    """
    with _opened(path) as fd:
        # Look first: a QEMU that changes its own permissions just now, as at the
        # end of a block job, would stumble over a lock of ours.
        _check_unused(fd, path, doing)
        first = _SHARE_NOT
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK, first, _PERMISSIONS))
        _check_unused(fd, path, doing)
        yield


def _check_unused(fd: int, path: Path, doing: str) -> None:
    use = _use(fd)
    if use is Use.NONE:
        return
    how = (
        "has it open"
        if use is Use.WRITING
        else "has it, or an overlay that lies on it, open"
    )
    raise ConflictError(f"{doing}: {path} is in use: stop the guest that {how}")


def _use(fd: int) -> Use:
    after_read = _PERMISSIONS - _READ - 1
    if _is_locked(fd, _HAVE + _READ + 1, after_read):
        return Use.WRITING
    if _is_locked(fd, _SHARE_NOT, _PERMISSIONS):
        return Use.READING
    return Use.NONE


def _is_locked(fd: int, first: int, count: int) -> bool:
    asked = _flock(fcntl.F_WRLCK, first, count)
    told = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
    return bool(_FLOCK.unpack(told)[0] != fcntl.F_UNLCK)


def _flock(kind: int, first: int, count: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, first, count, 0)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
