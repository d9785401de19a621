"""The RBD store: disks are copy-on-write clones of the snapshots that Glance makes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    CowpathError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    Capacity,
    Disk,
    DiskName,
    Image,
    ImageId,
    Intake,
    Leftover,
    Location,
    RbdHost,
    RbdSource,
    Seconds,
    disk_name,
    image_id,
    whole_sectors,
)
from cowpath.core.rules import choose_location, clone_size
from cowpath.stores.rbd import _imaging, _intents, _marks, _monitors, _room
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._failures import surely_refused
from cowpath.stores.rbd._leftovers import Leftovers
from cowpath.stores.rbd._notes import Note
from cowpath.stores.rbd._places import SNAPSHOT, draft_name, parse
from cowpath.stores.rbd._stumps import Stumps, busy
from cowpath.stores.rbd.config import RbdConfig

_HEAD = 4096
"""Bytes of a base that are looked at."""

_REMEMBERED = 1000
"""Bases; more than a site boots from, few enough to forget all at once."""


@dataclass(frozen=True, slots=True)
class _Parent:
    """A base's place in the cluster."""

    pool: str
    image: ImageId

    @property
    def where(self) -> str:
        """What `Base.where` says of it."""
        return f"{self.pool}/{self.image}@{SNAPSHOT}"


class RbdStore:
    """A site's store in a Ceph cluster. Implements `core.ports.Store`.

    What a protected snapshot holds never changes, so a base that was seen whole is
    remembered; cloning one that is gone fails and forgets it.
    """

    def __init__(self, config: RbdConfig) -> None:
        self._config = config
        self._cluster = librbd.Cluster(config)
        self._leftovers = Leftovers(config, self._cluster)
        self._stumps = Stumps(config, self._cluster)
        self._lock = threading.Lock()
        self._known: dict[Base, Base] = {}
        self._hosts: tuple[RbdHost, ...] = ()

    def __repr__(self) -> str:
        return f"RbdStore(pool {self._config.pool}, {self._cluster!r})"

    @property
    def territory(self) -> str:
        """Return the pools that this store may read, in words."""
        pools = ", ".join(self._config.images_pools)
        return f"pool {pools} of cluster {self._cluster.fsid}"

    def find_base(self, image: Image) -> Base | None:
        """Return the whole base of `image`; None while it is not here."""
        found = self._shown(image)
        if not image.size:
            return None
        parent = found or _Parent(self._config.images_pools[0], image_id(image.id))
        base = Base(image.id, parent.where, image.size)
        return self._known.get(base) or self._look(base, parent)

    def arrival(self, image: Image) -> Arrival | None:
        """Return how many bytes of `image` the cluster has allocated so far."""
        pool = self._config.images_pools[0]
        name = image_id(image.id)
        with self._reading(f"look for image {pool}/{name}", pool):
            with (
                suppress(librbd.ImageNotFound),
                self._cluster.image(pool, name) as seen,
            ):
                if SNAPSHOT in librbd.snapshots(seen):
                    return Arrival(Bytes(seen.size()), whole=True)
                return Arrival(Bytes(librbd.allocated(seen)))
            # Through our door at Glance it arrives under another name.
            arrived = _imaging.present(self._cluster, pool, draft_name(name))
        return None if arrived is None else Arrival(arrived)

    def leftover(self, image: Image) -> Leftover | None:
        """Return what lies where Glance would put `image`; None if nothing does."""
        return self._leftovers.find(image)

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover to the RBD trash; return how to see and restore it."""
        return self._leftovers.set_aside(leftover, confirm)

    def clone(self, base: Base, name: DiskName, size: Bytes | None = None) -> Disk:
        """Make a copy-on-write disk of `base`, `size` bytes large, and mark it."""
        wanted = clone_size(base, disk_name(name), size)
        parent, pool = self._parent(base), self._config.pool
        with self._writing(f"clone {base.where} to {pool}/{name}", parent.pool):
            # Asks the monitors: after the disk is made nothing may fail any more.
            source = self._source(name)
            self._make(base, parent, name, wanted)
        return Disk(
            name,
            wanted,
            source,
            image=base.image,
            base=base.where,
            marked=True,
        )

    def find_disk(self, name: DiskName) -> Disk | None:
        """Return the disk, or None if there is none of that name."""
        pool = self._config.pool
        with (
            self._reading(f"look at disk {pool}/{disk_name(name)}", pool),
            suppress(librbd.ImageNotFound),
            self._cluster.image(pool, name) as seen,
        ):
            found = self._described(name, seen)
            # What a killed call left before it was a clone is none: the next makes it.
            bare = not found.base and not found.marked
            return None if bare and self._stumps.begun(name) else found
        return None

    def untouched(self, disk: Disk) -> bool:
        """Tell whether nobody has written to the disk."""
        pool, name = self._config.pool, disk_name(disk.name)
        with (
            self._reading(f"look at disk {pool}/{name}", pool),
            suppress(librbd.ImageNotFound),
            self._cluster.image(pool, name) as seen,
        ):
            if librbd.allocated(seen) or librbd.snapshots(seen):
                return False
            self._check_closed(name, seen)
            return True
        return False

    def grow(self, disk: Disk, size: Bytes) -> Disk:
        """Make the disk `size` bytes large and return it as it is now.

        One that was made by a call which was killed before it marked it is marked now:
        a note is a proof for a while only.
        """
        whole_sectors(size)
        pool, name = self._config.pool, disk_name(disk.name)
        with (
            self._writing(f"grow {pool}/{name} to {size} bytes"),
            self._cluster.image(pool, name, writable=True) as opened,
        ):
            now = opened.size()
            if size < now:
                raise UsageError(
                    f"disk {name} has {now} bytes and never shrinks: ask for at least "
                    f"that, not {size}"
                )
            mark = _mark(opened)
            image = mark.image if mark else self._intended(name, opened)
            if size > now or (image and not mark):
                self._check_closed(name, opened)
            if image and not mark:
                _write_mark(opened, image)
            if size > now:
                opened.resize(size)
            if image:
                _intents.forget_all(self._cluster.pool(pool), name)
            return self._described(name, opened)

    def delete(self, name: DiskName) -> None:
        """Remove the disk; absent is fine."""
        pool = self._config.pool
        with self._writing(f"delete disk {pool}/{disk_name(name)}"):
            disks = self._cluster.pool(pool)
            try:
                librbd.remove(disks, name)
            except librbd.ImageNotFound:
                pass
            except librbd.ImageBusy as error:
                raise busy(name) from error
            _intents.forget_all(disks, name)

    def disks(self, prefix: str = "") -> Iterator[Disk]:
        """Yield the disks whose names begin with `prefix`, in order of name."""
        pool = self._config.pool
        with self._reading(f"list pool {pool}", pool):
            names = sorted(librbd.names(self._cluster.pool(pool)))
        for name in names:
            with suppress(UsageError):
                found = name.startswith(prefix) and self.find_disk(disk_name(name))
                if found:
                    yield found

    def capacity(self) -> Capacity:
        """Return the room for data of the disks' pool, replicas counted once."""
        return _room.capacity(self._cluster, self._config.pool)

    def intake(self) -> Intake:
        """Return what room images have, and what keeps them from being written."""
        return _room.intake(self._cluster, self._config)

    def close(self) -> None:
        """Close the connection to the cluster; the next call opens a new one."""
        self._leftovers.close()
        self._cluster.close()

    def _shown(self, image: Image) -> _Parent | None:
        """Return the base's place where Glance shows it.

        Raises:
            UntrustedError: It shows another; the message has our fsid beside theirs.
        """
        try:
            return choose_location(image, self._config.store, self._ours(image))
        except UntrustedError as error:
            raise UntrustedError(
                f"{error}. This site's images are in {self.territory}"
            ) from error

    def _ours(self, image: Image) -> Callable[[Location], _Parent | None]:
        """Return what accepts a location that is exactly where Glance puts `image`.

        Another fsid, pool, image or snapshot name is somebody else's bytes.
        """

        def accept(location: Location) -> _Parent | None:
            place = parse(location.url)
            if (
                place is None
                or not self._may_hold_images(place.pool)
                or (place.image, place.snapshot) != (image.id, SNAPSHOT)
                or place.fsid != self._cluster.fsid
            ):
                return None
            return _Parent(place.pool, image_id(image.id))

        return accept

    def _may_hold_images(self, pool: str) -> bool:
        return self._config.any_images_pool or pool in self._config.images_pools

    def _parent(self, base: Base) -> _Parent:
        """Return the place that `base.where` names.

        Raises:
            NotFoundError: It is another store's base.
        """
        for pool in self._config.images_pools:
            parent = _Parent(pool, image_id(base.image))
            if parent.where == base.where:
                return parent
        raise _gone(base)

    def _look(self, base: Base, parent: _Parent) -> Base | None:
        """Return the base with its head if it is there, whole; remember it then."""
        with (
            self._reading(f"look for base {parent.where}", parent.pool),
            suppress(librbd.ImageNotFound),
            self._cluster.image(parent.pool, parent.image, snapshot=SNAPSHOT) as seen,
        ):
            if seen.size() != base.size:
                return None
            found = replace(base, head=seen.read(0, min(_HEAD, base.size)))
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[base] = found
            return found
        return None

    def _forget(self, base: Base) -> None:
        with self._lock:
            self._known.pop(base, None)

    def _make(self, base: Base, parent: _Parent, name: DiskName, size: Bytes) -> None:
        """Make the disk, under a note that lasts until it is marked."""
        disks = self._cluster.pool(self._config.pool)
        source = (self._cluster.pool(parent.pool), parent.image, SNAPSHOT)
        note = _intents.note(disks, name, base)
        try:
            self._clone(source, name, note)
        except librbd.Error as error:
            if surely_refused(librbd.number_of(error)):
                self._drop_quietly(note)
            if isinstance(error, librbd.ImageNotFound):
                raise self._missing(base, parent, name) from error
            raise
        except BusyError:
            self._drop_quietly(note)
            raise
        try:
            self._finish(name, base, size)
        except librbd.Error as error:
            # With an image that could not be closed, removing it would wait for ever.
            if surely_refused(librbd.number_of(error)):
                self._remove_quietly(name, note)
            raise
        # The disk is whole and ours whether this note goes or stays.
        self._drop_quietly(note)

    def _clone(self, source: librbd.Snapshot, name: DiskName, note: str) -> None:
        disks = self._cluster.pool(self._config.pool)
        try:
            librbd.clone(source, (disks, name))
        except librbd.ImageExists:
            others = self._stumps.begun(name) - {note}
            if not others:
                raise
            self._stumps.clear(name, others)
            librbd.clone(source, (disks, name))

    def _missing(self, base: Base, parent: _Parent, name: DiskName) -> CowpathError:
        """Return why a clone failed because something was not there."""
        self._forget(base)
        if self._look(base, parent):
            return ConflictError(f"somebody else is making disk {name} at this moment")
        return _gone(base)

    def _finish(self, name: DiskName, base: Base, size: Bytes) -> None:
        """Mark the new clone and grow it."""
        with self._cluster.image(self._config.pool, name, writable=True) as opened:
            _write_mark(opened, base.image)
            if size > base.size:
                # Killed here, it is a marked disk that is too small: the next
                # call finds and grows it.
                opened.resize(size)

    def _remove_quietly(self, name: DiskName, note: str) -> None:
        # What it leaves, the next call for this name finishes: it is noted.
        with suppress(CowpathError, *librbd.Error):
            disks = self._cluster.pool(self._config.pool)
            librbd.remove(disks, name)
            _intents.forget(disks, note)

    def _drop_quietly(self, note: str) -> None:
        with suppress(CowpathError, *librbd.Error):
            _intents.forget(self._cluster.pool(self._config.pool), note)

    def _described(self, name: DiskName, seen: librbd.Opened) -> Disk:
        parent = librbd.parent(seen)
        base = "{}/{}@{}".format(*parent) if parent else None
        mark = _mark(seen)
        image = mark.image if mark else self._intended(name, seen)
        return Disk(
            name,
            Bytes(seen.size()),
            self._source(name),
            used=Bytes(librbd.allocated(seen)),
            image=image or self._image_of(parent),
            base=base,
            marked=image is not None,
        )

    def _intended(self, name: DiskName, seen: librbd.Opened) -> ImageId | None:
        """Return the image of a disk that we cloned and were killed before marking."""
        image = self._image_of(librbd.parent(seen))
        if image is None:
            return None
        made = librbd.created(seen)
        notes = _intents.notes(self._cluster.pool(self._config.pool), name).values()
        ours = any(n.image == image and self._explains(n, made) for n in notes)
        return image if ours else None

    def _explains(self, note: Note, made: Seconds) -> bool:
        return note.explains(made, self._config.surely_over)

    def _image_of(self, parent: tuple[str, str, str] | None) -> ImageId | None:
        if parent is None or parent[0] not in self._config.images_pools:
            return None
        with suppress(UsageError):
            return image_id(parent[1])
        return None

    def _check_closed(self, name: DiskName, seen: librbd.Opened) -> None:
        if librbd.watched_by_others(seen, self._cluster.instance()):
            raise busy(name)

    def _source(self, name: DiskName) -> RbdSource:
        if not self._hosts:
            self._hosts = _monitors.hosts(self._cluster.ask_monitors("mon dump"))
        config = self._config
        return RbdSource(
            config.pool, name, self._hosts, config.user or None, config.secret or None
        )

    def _reading(self, what: str, pool: str) -> AbstractContextManager[None]:
        caps = f"mon 'profile rbd' osd 'profile rbd-read-only pool={pool}'"
        return self._cluster.doing(what, caps=caps)

    def _writing(self, what: str, images: str = "") -> AbstractContextManager[None]:
        caps = f"mon 'profile rbd' osd 'profile rbd pool={self._config.pool}"
        if images:
            caps += f", profile rbd-read-only pool={images}"
        return self._cluster.doing(what, caps=f"{caps}'")


def _mark(seen: librbd.Opened) -> _marks.Mark | None:
    return _marks.read(librbd.metadata(seen, _marks.KEY), seen.id())


def _write_mark(opened: librbd.Opened, image: ImageId) -> None:
    opened.metadata_set(_marks.KEY, _marks.Mark(image, opened.id()).text())


def _gone(base: Base) -> NotFoundError:
    return NotFoundError(
        f"base {base.where} is not (or no longer) there: have the image copied again "
        f"(cowpath image place {base.image})"
    )
