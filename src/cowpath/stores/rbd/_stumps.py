"""What a call leaves of a disk that was killed in the midst of cloning.

Seen with Ceph 16.2, where 120 clones were killed at random moments: a name without an
image; or an image of exactly the base's size that has no parent, no metadata, no
snapshot and no object yet. With a parent it is a clone, and no stump any more.
"""

import math
from contextlib import suppress

from cowpath.core.errors import BusyError
from cowpath.core.model import DiskName, Seconds
from cowpath.stores.rbd import _intents
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd.config import RbdConfig

_KEPT: Seconds = 7 * 86400
"""How long `rbd trash purge` leaves alone what was moved there."""


class Stumps:
    """The stumps of disks in the disks' pool."""

    def __init__(self, config: RbdConfig, cluster: librbd.Cluster) -> None:
        self._config = config
        self._cluster = cluster

    def begun(self, name: DiskName) -> set[str]:
        """Return the notes of the calls that left only what a clone begins as."""
        disks = self._cluster.pool(self._config.pool)
        found = _intents.notes(disks, name)
        if not found:
            return set()
        named = librbd.named(disks, name) or -math.inf
        over = self._config.surely_over
        likely = {
            key: note for key, note in found.items() if note.explains(named, over)
        }
        with (
            suppress(librbd.ImageNotFound),
            self._cluster.image(self._config.pool, name) as seen,
        ):
            if not _is_blank(seen):
                return set()
            size = seen.size()
            return {key for key, note in likely.items() if note.size == size}
        return set(likely)

    def clear(self, name: DiskName, notes: set[str]) -> None:
        """Take away what a call that is surely over left of a disk, and its notes.

        Raises:
            BusyError: It may not be over yet, or somebody has it open.
        """
        disks, over = self._cluster.pool(self._config.pool), self._config.surely_over
        named = librbd.named(disks, name) or -math.inf
        if _intents.today() - named <= over:
            raise BusyError(
                f"disk {name} is being made by another call, or one was killed while "
                f"making it: which of both is known {over:g} s after it began"
            )
        try:
            self._take_away(name)
        except librbd.ImageBusy as error:
            raise busy(name) from error
        _intents.forget(disks, *notes)

    def _take_away(self, name: DiskName) -> None:
        """Move an image to the trash, in case it is not what it seems to be."""
        disks = self._cluster.pool(self._config.pool)
        try:
            with self._cluster.image(self._config.pool, name) as seen:
                if librbd.watched_by_others(seen, self._cluster.instance()):
                    raise busy(name)
        except librbd.ImageNotFound:
            # The trash does not take every name without an image; this takes it away,
            # and may say that there is no image.
            with suppress(librbd.ImageNotFound):
                librbd.remove(disks, name)
        else:
            with suppress(librbd.ImageNotFound):
                librbd.trash(disks, name, _KEPT)


def busy(name: DiskName) -> BusyError:
    """Return the error of a disk that somebody has open."""
    return BusyError(
        f"disk {name} is in use: stop the guest that has it open. What a killed client "
        f"had open stays so for 30 seconds"
    )


def _is_blank(seen: librbd.Opened) -> bool:
    return (
        librbd.parent(seen) is None
        and not any(True for _ in seen.metadata_list())
        and not librbd.snapshots(seen)
        and not librbd.allocated(seen)
    )
