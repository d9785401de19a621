"""A store in memory, for tests and dry runs: the same contract, no bytes on disk."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cowpath.core.errors import (
    ConflictError,
    NoSpaceError,
    NotFoundError,
    UsageError,
)
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    Capacity,
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    Intake,
    Leftover,
    Location,
    StoreName,
    disk_name,
    image_id,
    whole_sectors,
)
from cowpath.core.rules import choose_location, clone_size

_PAGE = 4096
_HEAD = 4096
_TERABYTE = Bytes(1024**4)


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """A store in memory.

    Attributes:
        store: The Glance store that this is.
        total: Bytes that fit into it.
    """

    store: StoreName
    total: Bytes = _TERABYTE


@dataclass(frozen=True, slots=True)
class _File:
    """What Glance wrote of an image: `data`, then zeros up to `size`."""

    data: bytes
    size: int

    def read(self, offset: int, length: int) -> bytes:
        data = self.data[offset : offset + length]
        return data.ljust(max(0, min(length, self.size - offset)), b"\0")


@dataclass(slots=True)
class _Overlay:
    """A disk: its own pages over a base."""

    disk: Disk
    below: _File
    pages: dict[int, bytes] = field(default_factory=dict)
    holders: int = 0

    def page(self, number: int) -> bytes:
        own = self.pages.get(number)
        return own or self.below.read(number * _PAGE, _PAGE).ljust(_PAGE, b"\0")

    def seen(self) -> Disk:
        # The first page is the disk's own description, as an overlay's header is.
        return replace(self.disk, used=Bytes((1 + len(self.pages)) * _PAGE))


class MemoryStore:
    """Implements `core.ports.Store`; the methods below the port are its back door."""

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config
        self._lock = threading.RLock()
        self._files: dict[ImageId, _File] = {}
        self._overlays: dict[DiskName, _Overlay] = {}
        self._aside: list[tuple[ImageId, _File]] = []
        self._ailments: tuple[str, ...] = ()
        self.drafts: dict[ImageId, bytearray] = {}
        """Copies in the making (`memory_copy`)."""

    @property
    def store(self) -> StoreName:
        """Return the Glance store that this is."""
        return self._config.store

    @property
    def territory(self) -> str:
        """Return the store's name, in words."""
        return f"memory store {self._config.store}"

    def find_base(self, image: Image) -> Base | None:
        """Return the whole base of `image`; None while it is not here."""
        mine = self.location(image.id)
        store = self._config.store
        choose_location(image, store, lambda shown: shown.url == mine.url or None)
        with self._lock:
            file = self._files.get(image.id)
        if file is None or not image.size or file.size != image.size:
            return None
        head = file.read(0, _HEAD)
        return Base(image=image.id, where=mine.url, size=image.size, head=head)

    def arrival(self, image: Image) -> Arrival | None:
        """Return how much of `image` was put here so far."""
        with self._lock:
            file = self._files.get(image_id(image.id))
            draft = self.drafts.get(image.id)
        if file is not None:
            return Arrival(present=Bytes(file.size), whole=file.size == image.size)
        return None if draft is None else Arrival(present=filled(draft))

    def leftover(self, image: Image) -> Leftover | None:
        """Return what was put here of `image`; None if nothing was."""
        with self._lock:
            file = self._files.get(image_id(image.id))
        if file is None:
            return None
        where = self.location(image.id).url
        cure = f"MemoryStore.remove({image.id!r})"
        return Leftover(image.id, where, present=Bytes(file.size), cure=cure)

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover to where `aside` shows it; return how to restore it."""
        with self._lock:
            seen = self._unneeded(leftover)
        # Without the lock: Glance, which is asked here, may have something to put.
        confirm()
        with self._lock:
            if self._unneeded(leftover) is not seen:
                raise ConflictError(f"{leftover.where} was just replaced: look again")
            self._aside.append((leftover.image, self._files.pop(leftover.image)))
        return f"kept in {self.territory}; to restore it: restore({leftover.image!r})"

    def clone(self, base: Base, name: DiskName, size: Bytes | None = None) -> Disk:
        """Make a copy-on-write disk of `base`, `size` bytes large, and mark it."""
        path = f"/memory/{self._config.store}/{disk_name(name)}"
        wanted = clone_size(base, name, size)
        with self._lock:
            if name in self._overlays:
                raise ConflictError(
                    f"disk {name} exists already: choose another name, or delete it"
                )
            below = self._file(base)
            if self.capacity().free < _PAGE:
                raise NoSpaceError(
                    f"cannot make disk {name}: {self.territory} is full, nothing was "
                    f"left behind: delete disks that are no longer needed"
                )
            disk = Disk(
                name,
                wanted,
                FileSource(path=path, backing=base.where),
                image=base.image,
                base=base.where,
                marked=True,
            )
            self._overlays[name] = _Overlay(disk, below)
            return self._overlays[name].seen()

    def find_disk(self, name: DiskName) -> Disk | None:
        """Return the disk, or None if there is none of that name."""
        disk_name(name)
        with self._lock:
            overlay = self._overlays.get(name)
            return overlay.seen() if overlay else None

    def untouched(self, disk: Disk) -> bool:
        """Tell whether nobody has written to the disk and nobody has it open."""
        disk_name(disk.name)
        with self._lock:
            overlay = self._overlays.get(disk.name)
            return overlay is not None and not overlay.pages and not overlay.holders

    def grow(self, disk: Disk, size: Bytes) -> Disk:
        """Make the disk `size` bytes large and return it as it is now."""
        disk_name(disk.name)
        size = whole_sectors(size)
        with self._lock:
            overlay = self._overlay(disk.name)
            if size < overlay.disk.size:
                raise UsageError(
                    f"disk {disk.name} has {overlay.disk.size} bytes and never "
                    f"shrinks: ask for at least that, not {size}"
                )
            if size > overlay.disk.size:
                self._check_closed(overlay)
                overlay.disk = replace(overlay.disk, size=size)
            return overlay.seen()

    def delete(self, name: DiskName) -> None:
        """Remove the disk; absent is fine."""
        disk_name(name)
        with self._lock:
            overlay = self._overlays.get(name)
            if overlay:
                self._check_closed(overlay)
                del self._overlays[name]

    def disks(self, prefix: str = "") -> Iterator[Disk]:
        """Yield the disks whose names begin with `prefix`, in order of name."""
        with self._lock:
            seen = [self._overlays[name].seen() for name in sorted(self._overlays)]
        return (disk for disk in seen if disk.name.startswith(prefix))

    def capacity(self) -> Capacity:
        """Return how much fits, and how much is free."""
        with self._lock:
            disks = sum(overlay.seen().used for overlay in self._overlays.values())
            files = sum(file.size for file in self._files.values())
            files += sum(file.size for _, file in self._aside)
            files += sum(map(filled, self.drafts.values()))
        total = self._config.total
        return Capacity(total=total, free=Bytes(max(0, total - disks - files)))

    def intake(self) -> Intake:
        """Return what room is left, and what `ail` was told."""
        return Intake(self.capacity().free, self._ailments)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def location(self, image: ImageId) -> Location:
        """Return what Glance shows of an image that is whole here."""
        store = self._config.store
        return Location(f"memory://{store}/{image_id(image)}", store)

    def put(self, image: ImageId, data: bytes = b"", size: int | None = None) -> None:
        """Have `size` bytes of `image` arrived, as Glance does: `data`, then zeros."""
        size = len(data) if size is None else size
        with self._lock:
            self._files[image_id(image)] = _File(data[:size], size)

    def content(self, image: ImageId) -> bytes | None:
        """Return all bytes of `image`; None while there are none."""
        with self._lock:
            file = self._files.get(image_id(image))
        return None if file is None else file.read(0, file.size)

    def has_disk_on(self, image: ImageId) -> bool:
        """Tell whether a disk lies on what is here of `image`."""
        with self._lock:
            file = self._files.get(image_id(image))
            return any(each.below is file for each in self._overlays.values())

    def remove(self, image: ImageId) -> None:
        """Delete `image` as Glance does. Its disks stay readable."""
        with self._lock:
            self._files.pop(image, None)

    def ail(self, *ailments: str) -> None:
        """Have these ailments from now on; none: be healthy again."""
        self._ailments = ailments

    def aside(self, image: ImageId) -> list[Bytes]:
        """Return the sizes of the leftovers of `image` that were set aside."""
        with self._lock:
            return [Bytes(file.size) for name, file in self._aside if name == image]

    def restore(self, image: ImageId) -> None:
        """Put the leftover of `image` that was set aside back."""
        with self._lock:
            kept = next(each for each in self._aside if each[0] == image)
            self._aside.remove(kept)
            self._files[image] = kept[1]

    def forget_aside(self, image: ImageId) -> None:
        """Remove what of `image` was set aside for good."""
        with self._lock:
            self._aside = [each for each in self._aside if each[0] != image]

    def read(self, name: DiskName, offset: int, length: int) -> bytes:
        """Return bytes of a disk, as its guest reads them."""
        with self._lock:
            overlay = self._overlay(name)
            end = min(offset + length, overlay.disk.size)
            numbers = range(offset // _PAGE, -(-end // _PAGE))
            data = b"".join(map(overlay.page, numbers))
        begin = offset % _PAGE
        return data[begin : begin + max(0, end - offset)]

    def write(self, name: DiskName, offset: int, data: bytes) -> None:
        """Write into a disk, as its guest does."""
        with self._lock:
            overlay = self._overlay(name)
            end = offset + len(data)
            for number in range(offset // _PAGE, -(-end // _PAGE)):
                page, begin = overlay.page(number), number * _PAGE
                news = data[max(0, begin - offset) : begin + _PAGE - offset]
                at = max(0, offset - begin)
                overlay.pages[number] = page[:at] + news + page[at + len(news) :]

    @contextmanager
    def held(self, name: DiskName) -> Iterator[None]:
        """Have a disk open, as a running guest does."""
        with self._lock:
            overlay = self._overlay(name)
            overlay.holders += 1
        try:
            yield
        finally:
            with self._lock:
                overlay.holders -= 1

    def _file(self, base: Base) -> _File:
        file = self._files.get(base.image)
        mine = base.where == self.location(base.image).url
        if file is None or not mine or file.size != base.size:
            raise NotFoundError(
                f"image {base.image} is not (or no longer) whole in {self.territory}: "
                f"have it copied again"
            )
        return file

    def _unneeded(self, leftover: Leftover) -> _File:
        """Return the file that `leftover` is, on which no disk lies."""
        file = self._files.get(image_id(leftover.image))
        mine = leftover.where == self.location(leftover.image).url
        if file is None or not mine or file.size != leftover.present:
            raise NotFoundError(
                f"{leftover.where} is gone from {self.territory}, or has changed, and "
                f"nothing was moved: look again"
            )
        if self.aside(leftover.image):
            raise ConflictError(
                f"{leftover.where} is left alone, for an earlier leftover of the image "
                f"is still kept: forget_aside({leftover.image!r}), then try again"
            )
        for overlay in self._overlays.values():
            if overlay.below is file:
                raise ConflictError(
                    f"{leftover.where} is left alone: disk {overlay.disk.name} lies on "
                    f"it: delete that disk, then try again"
                )
        return file

    def _overlay(self, name: DiskName) -> _Overlay:
        overlay = self._overlays.get(name)
        if overlay is None:
            raise NotFoundError(f"there is no disk {name} in {self.territory}")
        return overlay

    def _check_closed(self, overlay: _Overlay) -> None:
        if overlay.holders:
            raise ConflictError(
                f"disk {overlay.disk.name} is in use: stop the guest that has it open"
            )


def filled(data: bytearray) -> Bytes:
    """Return how many bytes of `data` a thin store would keep."""
    pages = (data[at : at + _PAGE] for at in range(0, len(data), _PAGE))
    return Bytes(sum(len(page) for page in pages if page.strip(b"\0")))
