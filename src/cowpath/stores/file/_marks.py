"""Our mark on a disk: a small file beside it, bound to the disk's own inode.

A mark inside the overlay would be copied with it; a mark by name alone would be
inherited by whatever takes the name next. Inode numbers are used again, soon on
ext4, so the inode's generation is part of the bond where the filesystem has one.
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cowpath.core.errors import UsageError
from cowpath.core.model import DiskName, ImageId, image_id

_FORMAT = 1
"""Of the file; a later one that means something else counts up."""

_LONG = struct.Struct("l")
# linux/fs.h: FS_IOC_GETVERSION = _IOR('v', 1, long)
_GET_GENERATION = (2 << 30) | (_LONG.size << 16) | (ord("v") << 8) | 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What we noted about a disk when we made it."""

    image: ImageId
    base: str


class Marks:
    """The marks of a folder's disks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: DiskName, overlay: Path, mark: Mark) -> None:
        """Mark `overlay`, which will be the disk `name`.

        Written beside it first: whoever clears away half-made disks finds it there.
        """
        text = json.dumps(
            {
                "image": mark.image,
                "base": mark.base,
                "format": _FORMAT,
                "inode": _bond(overlay),
            }
        )
        fresh = overlay.with_suffix(".json")
        try:
            _write(fresh, text)
            fresh.replace(self._path(name))
        finally:
            fresh.unlink(missing_ok=True)

    def get(self, name: DiskName, overlay: Path) -> Mark | None:
        """Return the mark of the disk `name`; None if it is not ours."""
        try:
            facts = json.loads(self._path(name).read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT or facts["inode"] != _bond(overlay):
                return None
            return Mark(image=image_id(facts["image"]), base=str(facts["base"]))
        except FileNotFoundError:
            return None
        except (UsageError, ValueError, KeyError, TypeError):
            return None  # not a mark of ours, so no proof of anything

    def keep_only(self, names: Iterable[DiskName]) -> None:
        """Drop every mark but those of `names`."""
        kept = {self._path(name) for name in names}
        for path in self._directory.iterdir():
            if path not in kept:
                path.unlink()

    def _path(self, name: DiskName) -> Path:
        return self._directory / f"{name}.json"


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _bond(path: Path) -> list[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return bond(fd)
    finally:
        os.close(fd)


def bond(fd: int) -> list[int]:
    """Return what tells this file from every other that had or will have its name."""
    return [os.fstat(fd).st_ino, _generation(fd)]


def _generation(fd: int) -> int:
    try:
        raw = fcntl.ioctl(fd, _GET_GENERATION, bytes(_LONG.size))
    except OSError:
        return 0  # tmpfs and NFS have none; tmpfs does not reuse numbers
    return int(_LONG.unpack(raw)[0])
