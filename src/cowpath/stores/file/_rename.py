"""A rename that never replaces what has the new name; Python's own does."""

import ctypes
import errno
import os
from pathlib import Path

_HERE = -100
"""AT_FDCWD: paths are what they are for every other call."""
_NO_REPLACE = 1
"""RENAME_NOREPLACE."""

_WITHOUT = frozenset({errno.EINVAL, errno.ENOSYS})
"""What a filesystem (ZFS before 2.2) or a kernel says that does not have it."""


def rename_to_free(source: Path, target: Path) -> None:
    """Rename `source`; whatever lies there moves, and is never lost.

    A hard link and an unlink would not replace either. But between them somebody may
    put another file in the place of `source`, and that would be gone.

    Raises:
        OSError: Refused; FileExistsError where something has the new name.
    """
    number = _renameat2(os.fsencode(source), os.fsencode(target))
    if number in _WITHOUT:
        number = errno.EEXIST if os.path.lexists(target) else 0
        if not number:
            source.rename(target)
    if number:
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def _renameat2(source: bytes, target: bytes) -> int:
    """Return 0 or an errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):  # such as musl
        return errno.ENOSYS
    failed = libc.renameat2(_HERE, source, _HERE, target, _NO_REPLACE)
    return ctypes.get_errno() if failed else 0
