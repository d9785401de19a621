"""Which disks are being made: so that a kill between cloning and marking loses none.

librbd makes a clone and its metadata in two steps. Before the first, the disk's name,
image and the time go into the omap of one object in the disks' pool; after the second
they are removed. A clone without a mark that is still noted there, and was made when
the note says, is one that we began.

Every call notes under a key of its own. Who finds the name taken removes its own
note: another's disk must not pass for ours, and a note that another call still needs
must stay.
"""

from typing import Any
from uuid import uuid4

from cowpath.core.model import DiskName, ImageId
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd import _notes

OBJECT = "cowpath.making"


def note(pool: Any, name: DiskName, image: ImageId) -> str:
    """Note that `name` is about to become a disk of `image`; return the key."""
    key = f"{_prefix(name)}{uuid4().hex}"
    librbd.put(pool, OBJECT, key, _notes.text(image, librbd.today()))
    return key


def forget(pool: Any, *keys: str) -> None:
    """Drop notes: the disk is marked, or was not made."""
    librbd.take(pool, OBJECT, *keys)


def forget_all(pool: Any, name: DiskName) -> None:
    """Drop every note of `name`: it is marked, or there is no such disk any more."""
    keys = notes(pool, name)
    if keys:
        librbd.take(pool, OBJECT, *keys)


def notes(pool: Any, name: DiskName) -> dict[str, _notes.Note]:
    """Return what `name` was to become a disk of, by keys."""
    found = librbd.got(pool, OBJECT, _prefix(name))
    return {key: _notes.read(value) for key, value in found.items()}


def _prefix(name: DiskName) -> str:
    return f"{name} "  # which no disk's name contains
