"""What keeps a directory of images from taking bytes, as far as can be seen here."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

from cowpath.core.model import Bytes, Intake

_ANYBODY_MAY_WRITE = 0o222


def measure_intake(images: Path) -> Intake:
    """Return what room `images` has, and what ails it.

    Raises:
        OSError: It cannot be looked at; that it is not there is an ailment.
    """
    try:
        room = os.statvfs(images)
    except (FileNotFoundError, NotADirectoryError):
        return Intake(Bytes(0), (f"there is no directory {images}",))
    free = Bytes(room.f_bavail * room.f_frsize)
    return Intake(free, tuple(_ailments(images, room)))


def _ailments(images: Path, room: os.statvfs_result) -> Iterator[str]:
    if not images.is_dir():
        yield f"{images} is no directory"
    elif room.f_flag & os.ST_RDONLY:
        yield f"{images} is on a filesystem that is mounted read-only"
    else:
        yield from _refusals(images)
    if not room.f_bavail:
        yield f"{images} is on a filesystem that is full: no bytes are free"
    # Some filesystems, such as btrfs, count no inodes: they say 0 of 0.
    if room.f_files and not room.f_favail:
        yield f"{images} is on a filesystem that has no inodes left for new files"


def _refusals(images: Path) -> Iterator[str]:
    """Yield why nobody may write; what we alone may not says nothing of Glance."""
    mode = S_IMODE(images.stat().st_mode)
    if not mode & _ANYBODY_MAY_WRITE:
        yield f"{images} has mode {mode:04o}: nobody but root may write into it"
    elif os.geteuid() == 0 and not _may_write(images):
        look = f"lsattr -d {shlex.quote(str(images))}"
        yield f"{images} cannot be written to, not even by root (see {look})"


def _may_write(images: Path) -> bool:
    return os.access(images, os.W_OK | os.X_OK, effective_ids=True)
