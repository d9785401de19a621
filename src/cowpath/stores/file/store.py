"""The file store: Glance's raw files below, qcow2 overlays on top."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from cowpath.core.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UsageError,
)
from cowpath.core.model import (
    SECTOR,
    Arrival,
    Base,
    Bytes,
    Capacity,
    Disk,
    DiskName,
    FileSource,
    Image,
    Intake,
    Leftover,
    whole_sectors,
)
from cowpath.core.ports import Clock
from cowpath.core.rules import choose_location, clone_size
from cowpath.stores.file._failures import translated
from cowpath.stores.file._folder import Folder, allocated, file_size
from cowpath.stores.file._image_lock import Use, to_ourselves, use_of
from cowpath.stores.file._intake import measure_intake
from cowpath.stores.file._leftovers import Leftovers
from cowpath.stores.file._lock import FolderLock
from cowpath.stores.file._marks import Mark, Marks
from cowpath.stores.file._qcow2 import Qcow2, read_qcow2
from cowpath.stores.file._qemu_img import create_overlay, resize_overlay
from cowpath.stores.file.config import FileConfig

_HEAD = 4096
"""Bytes of a base that are looked at."""


class FileStore:
    """A site's store in two directories. Implements `core.ports.Store`."""

    def __init__(self, config: FileConfig, clock: Clock) -> None:
        self._store = config.store
        self._folder = Folder(config)
        self._lock = FolderLock(self._folder.lock, clock)
        self._marks = Marks(self._folder.marks)
        self._leftovers = Leftovers(self._folder, clock)

    @property
    def territory(self) -> str:
        """Return the directory that this store may read, in words."""
        return f"directory {self._folder.images}"

    def find_base(self, image: Image) -> Base | None:
        """Return the whole base of `image`; None while it is not here."""
        place_of = partial(self._folder.location_of, image.id)
        choose_location(image, self._store, place_of)
        if not image.size:
            return None
        with translated(f"cannot look for image {image.id}", self._folder.images):
            source = self._folder.source(image.id, image.size)
            if source is None:
                return None
            with source.open("rb") as file:
                head = file.read(_HEAD)
        where = str(self._folder.base(image.id))
        return Base(image=image.id, where=where, size=image.size, head=head)

    def arrival(self, image: Image) -> Arrival | None:
        """Return how much of `image` Glance, or a copy of ours, has written so far."""
        with translated(f"cannot look for image {image.id}", self._folder.images):
            present = file_size(self._folder.glance_file(image.id))
            if present is not None:
                return Arrival(present=present, whole=present == image.size)
            drafted = allocated(self._folder.draft(image.id))
        return None if drafted is None else Arrival(present=drafted)

    def leftover(self, image: Image) -> Leftover | None:
        """Return what lies where Glance would write `image`; None if nothing does."""
        with translated(f"cannot look for image {image.id}", self._folder.images):
            return self._leftovers.find(image.id)

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover into `<disks_dir>/leftovers`; return how to restore it."""
        doing = f"cannot set aside what was left of image {leftover.image}"
        with ExitStack() as leaving:
            with self._mending(doing):
                found = leaving.enter_context(self._leftovers.found(leftover))
            # Without the lock: Glance may answer late, and disks are made meanwhile.
            confirm()
            with self._mending(doing):
                return self._leftovers.move(found)

    def clone(self, base: Base, name: DiskName, size: Bytes | None = None) -> Disk:
        """Make a copy-on-write disk of `base`, `size` bytes large, and mark it."""
        path = self._folder.disk(name)
        wanted = clone_size(base, name, size)
        with self._changing(f"cannot make disk {name}") as lock, ExitStack() as undo:
            _check_free(path)
            undo.callback(self._tidy)
            backing = self._linked(base)
            fresh = self._folder.fresh()
            undo.callback(fresh.unlink, missing_ok=True)
            create_overlay(fresh, backing, wanted, lock)
            _flush(fresh)
            self._marks.put(name, fresh, Mark(image=base.image, base=base.where))
            _publish(fresh, path)
            undo.pop_all()
            fresh.unlink()
            return self._known(name)

    def find_disk(self, name: DiskName) -> Disk | None:
        """Return the disk, or None if there is none of that name."""
        path = self._folder.disk(name)
        with translated(f"cannot look at disk {name}", self._folder.disks):
            header = _header(path)
            if header is None and os.path.lexists(path):
                raise _foreign(path)
            return self._disk(name, path, header) if header else None

    def untouched(self, disk: Disk) -> bool:
        """Tell whether nobody has written to the disk and nobody has it open."""
        path = self._folder.disk(disk.name)
        with self._changing(f"cannot look at disk {disk.name}"):
            if _header(path) is None or self._folder.overlay_on(path):
                return False
            use = use_of(path)
            header = _header(path)
        # QEMU writes late: what somebody may write to is not known to be unwritten.
        if use is Use.WRITING or header is None or not header.is_blank:
            return False
        if use is Use.READING:
            raise BusyError(
                f"disk {disk.name} is open: stop what reads it, or an overlay on it"
            )
        return True

    def grow(self, disk: Disk, size: Bytes) -> Disk:
        """Make the disk `size` bytes large and return it as it is now."""
        size = whole_sectors(size)
        doing = f"cannot grow disk {disk.name}"
        with self._changing(doing) as lock:
            now = self._known(disk.name)
            if size < now.size:
                raise UsageError(
                    f"disk {disk.name} has {now.size} bytes and never shrinks: ask for "
                    f"at least that, not {size}"
                )
            if size == now.size:
                return now
            self._check_top(self._folder.disk(disk.name), doing)
            resize_overlay(self._folder.disk(disk.name), size, lock)
            return self._known(disk.name)

    def delete(self, name: DiskName) -> None:
        """Remove the disk, its mark, and its base's link if it was the last."""
        path = self._folder.disk(name)
        doing = f"cannot delete disk {name}"
        with self._changing(doing):
            if _header(path):
                self._check_top(path, doing)
                with to_ourselves(path, doing):
                    path.unlink()
            elif os.path.lexists(path):
                raise _foreign(path)
            self._tidy()

    def disks(self, prefix: str = "") -> Iterator[Disk]:
        """Yield the disks whose names begin with `prefix`, in order of name."""
        with translated("cannot list disks", self._folder.disks):
            names = list(self._folder.names(prefix))
        for name in names:
            disk = None
            with suppress(ConflictError):  # of that name, but no disk
                disk = self.find_disk(name)
            if disk:
                yield disk

    def capacity(self) -> Capacity:
        """Return the room on the filesystem that both directories are on."""
        with translated("cannot measure the store", self._folder.images):
            room = os.statvfs(self._folder.images)
        return Capacity(
            total=Bytes(room.f_blocks * room.f_frsize),
            free=Bytes(room.f_bavail * room.f_frsize),
        )

    def intake(self) -> Intake:
        """Return what room Glance's directory has, and what ails it."""
        with translated("cannot measure the store", self._folder.images):
            return measure_intake(self._folder.images)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    @contextmanager
    def _changing(self, doing: str) -> Iterator[int]:
        with translated(doing, self._folder.disks):
            self._folder.prepare()
            with self._lock.held(doing) as lock:
                self._folder.sweep()
                yield lock

    @contextmanager
    def _mending(self, doing: str) -> Iterator[None]:
        with self._changing(doing), translated(doing, self._folder.images):
            self._tidy()  # a link that a killed call left is nobody's
            yield

    def _check_top(self, path: Path, doing: str) -> None:
        """Accept a disk that no file in the folder lies on, open or not."""
        overlay = self._folder.overlay_on(path)
        if overlay:
            raise ConflictError(
                f"{doing}: {overlay} lies on it and needs its bytes: if that is a "
                f"snapshot, merge it (virsh blockcommit) or delete it first"
            )

    def _tidy(self) -> None:
        """Drop the marks that have no disk, and the bases that nothing lies on.

        Judged by what is there, so that it is right whenever it is interrupted or
        interrupts: nothing that a disk needs is ever dropped. Where Glance's file is
        gone, our link is the last copy of the bytes, and a disk that somebody moved
        out of the folder may lie on them: that link stays.
        """
        self._marks.keep_only(self._folder.names())
        for idle in self._folder.idle_bases():
            if idle.lstat().st_nlink > 1:
                idle.unlink()

    def _source(self, base: Base) -> Path:
        """Return the file that holds `base` now.

        Raises:
            NotFoundError: None does, or it is another store's base.
        """
        path = None
        if base.where == str(self._folder.base(base.image)):
            path = self._folder.source(base.image, base.size)
        if path is None:
            raise NotFoundError(
                f"image {base.image} is not (or no longer) whole in {self.territory}: "
                f"have it copied again (cowpath image place {base.image})"
            )
        return path

    def _linked(self, base: Base) -> Path:
        """Return our link to the base's file; made if need be."""
        link = self._folder.base(base.image)
        source = self._source(base)
        if source == link:
            return link
        if os.path.lexists(link):
            self._drop_stale(link)
        with _link_failures(source, link):
            os.link(source, link, follow_symlinks=False)
        # What was linked counts, not what lay there a moment ago.
        if file_size(link) != base.size:
            raise NotFoundError(f"{source} has just changed: try again")
        return link

    def _drop_stale(self, link: Path) -> None:
        if link not in self._folder.idle_bases():
            raise ConflictError(
                f"{link} has another size than its image, and disks lie on it: delete "
                f"those disks, then try again"
            )
        link.unlink()

    def _known(self, name: DiskName) -> Disk:
        disk = self.find_disk(name)
        if disk is None:
            raise NotFoundError(f"there is no disk {name} in {self._folder.disks}")
        return disk

    def _disk(self, name: DiskName, path: Path, header: Qcow2) -> Disk:
        mark = self._marks.get(name, path)
        return Disk(
            name=name,
            size=Bytes(header.size),
            source=FileSource(path=str(path), backing=header.backing),
            used=Bytes(header.status.st_blocks * SECTOR),
            image=mark.image if mark else self._folder.image_of(header.backing),
            base=header.backing,
            marked=mark is not None,
        )


def _header(path: Path) -> Qcow2 | None:
    try:
        return read_qcow2(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _taken(path)


def _publish(fresh: Path, path: Path) -> None:
    """Have the disk appear, whole and marked; never in the place of another."""
    try:
        os.link(fresh, path, follow_symlinks=False)
    except FileExistsError as error:
        raise _taken(path) from error


def _taken(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} exists already: choose another name, or delete that disk first"
    )


def _foreign(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} is no qcow2 file, so no disk of ours, and is left alone: choose "
        f"another name, or look what it is and move it away"
    )


def _flush(path: Path) -> None:
    """Have the file survive a power cut before its name appears."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _link_failures(source: Path, link: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{source} is gone: have the image copied again") from error
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise ConfigError(
                f"{source} and {link.parent} are on different filesystems, so no disk "
                f"can share the image's bytes: set disks_dir to a directory on the "
                f"filesystem of images_dir (a bind mount counts as another one)"
            ) from error
        if error.errno == errno.EPERM:
            raise ForbiddenError(
                f"this user may not hard-link {source}: fs.protected_hardlinks is on "
                f"and asks for ownership, or for the right to read and write it. Run "
                f"this as the owner of Glance's files, or share a group and set "
                f"filesystem_store_file_perm = 660 in glance-api.conf"
            ) from error
        raise
