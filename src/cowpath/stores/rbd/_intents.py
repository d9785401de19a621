"""Which disks are being made: so that a kill between cloning and marking loses none.

librbd makes a clone and its metadata in two steps. Before the first, the disk's name,
image and the time go into the omap of one object in the disks' pool; after the second
they are removed. A clone without a mark that is still noted there, and was made when
the note says, is one that we began.

Every call notes under a key of its own. Who finds the name taken removes its own
note: another's disk must not pass for ours, and a note that another call still needs
must stay.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from cowpath.core.model import Base, DiskName
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd import _notes

OBJECT = "cowpath.making"


def today() -> float:
    """Return this host's wall clock, in seconds since the epoch.

    Only to compare with what Ceph keeps in wall-clock time.
    """
    return datetime.now(UTC).timestamp()


def note(pool: Any, name: DiskName, base: Base) -> str:
    """Note that `name` is about to become a disk of `base`; return the key."""
    key = f"{_prefix(name)}{uuid4().hex}"
    text = _notes.text(base.image, today(), base.size)
    librbd.put(pool, OBJECT, key, text)
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
