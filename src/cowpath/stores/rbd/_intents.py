"""Which disks are being made: so that a kill between cloning and marking loses none.

librbd makes a clone and its metadata in two steps. Before the first, the disk's name
goes into the omap of one object in the disks' pool; after the second it is removed. A
clone without a mark whose name is still there, with its image, is one that we began.
"""

from typing import Any

from cowpath.core.model import DiskName, ImageId
from cowpath.stores.rbd import _librbd as librbd

OBJECT = "cowpath.making"


def note(pool: Any, name: DiskName, image: ImageId) -> None:
    """Note that `name` is about to become a disk of `image`."""
    librbd.put(pool, OBJECT, name, image)


def forget(pool: Any, name: DiskName) -> None:
    """Note that `name` is marked, or not there."""
    librbd.take(pool, OBJECT, name)


def find(pool: Any, name: DiskName) -> str | None:
    """Return the image that `name` was to become a disk of; None if of none."""
    return librbd.got(pool, OBJECT, name)
