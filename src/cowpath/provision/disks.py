"""Make, grow and delete the copy-on-write disks of this site's guests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cowpath.core.errors import BusyError, ConflictError, CowpathError, NotFoundError
from cowpath.core.events import (
    DiskAdopted,
    DiskBusy,
    DiskDeleted,
    DiskGrown,
    DiskMade,
    Warned,
)
from cowpath.core.model import Bytes, Disk, DiskName, Image
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_adoption, check_image, check_size
from cowpath.provision.ensure import ensure_local

_Result = TypeVar("_Result")


def create_disk(
    image: Image, name: DiskName, here: SitePorts, *, size: Bytes | None = None
) -> Disk:
    """Return a disk of `image`, `size` bytes large (the image's size if None).

    A disk that an earlier call left unfinished, because it was killed, is finished
    and returned; see `core.rules.check_adoption`.

    Raises:
        UnsuitableError: No disk of that size can be made of the image.
        ConflictError: The name is taken by another disk.
        NoSpaceError: The store is full; no disk is left behind.
        CopyError: The image is not here and did not come.
    """
    return provide_disk(image, name, here, size=size).disk


@dataclass(frozen=True, slots=True)
class Provided:
    """A disk that is ready, and whether this very call made it."""

    disk: Disk
    made: bool


def provide_disk(
    image: Image, name: DiskName, here: SitePorts, *, size: Bytes | None = None
) -> Provided:
    """Do what `create_disk` does, and tell whether the disk was made or adopted."""
    check_image(image)
    wanted = check_size(image, size)
    # Before a copy is asked for, a taken name is refused. Without one the clone itself
    # tells, and looking first would cost as much as a tenth of it (benchmarks).
    found = None if image.is_in(here.store) else here.disks.find_disk(name)
    if found is not None:
        return Provided(_adopt(found, image, wanted, here), made=False)
    base = ensure_local(image, here)
    try:
        # What a killed call left of the name may be busy for a while.
        made = _when_free(name, here, lambda: here.disks.clone(base, name, wanted))
    except ConflictError:
        found = here.disks.find_disk(name)
        if found is None:
            raise
        return Provided(_adopt(found, image, wanted, here), made=False)
    here.observer.tell(DiskMade(made))
    return Provided(made, made=True)


def find_disk(name: DiskName, here: SitePorts) -> Disk:
    """Return the disk called `name`.

    Raises:
        NotFoundError: There is none.
    """
    disk = here.disks.find_disk(name)
    if disk is None:
        raise NotFoundError(
            f"there is no disk {name} at site {here.store}: cowpath disk list shows "
            f"what there is"
        )
    return disk


def grow_disk(name: DiskName, size: Bytes, here: SitePorts) -> Disk:
    """Make the disk `size` bytes large and return it as it is then.

    Raises:
        NotFoundError: There is no such disk.
        UsageError: `size` is smaller than the disk; disks never shrink.
        ConflictError: A guest has it open.
    """
    disk = here.disks.grow(find_disk(name, here), size)
    here.observer.tell(DiskGrown(disk))
    return disk


def delete_disk(name: DiskName, here: SitePorts) -> Disk:
    """Remove the disk and return what it was. Bases and other disks stay.

    Raises:
        NotFoundError: There is no such disk.
        ConflictError: A guest has it open.
    """
    disk = find_disk(name, here)
    _when_free(name, here, lambda: here.disks.delete(name))
    here.observer.tell(DiskDeleted(disk))
    return disk


def undo_disk(name: DiskName, here: SitePorts) -> None:
    """Remove a disk that this call made; say so if it has to stay."""
    try:
        _when_free(name, here, lambda: here.disks.delete(name))
    except CowpathError as error:
        here.observer.tell(
            Warned(f"disk {name} is left behind ({error}): cowpath disk delete {name}")
        )


def _adopt(disk: Disk, image: Image, size: Bytes, here: SitePorts) -> Disk:
    untouched = _when_free(disk.name, here, lambda: here.disks.untouched(disk))
    check_adoption(disk, image, size, untouched=untouched)
    # Also where it has that size: a disk that was killed before it was marked is
    # marked then (stores/rbd), so that no note has to speak for it any longer.
    grown = here.disks.grow(disk, size)
    here.observer.tell(DiskAdopted(grown))
    return grown


def _when_free(name: DiskName, here: SitePorts, work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns; try again while the disk is open elsewhere."""
    for _ in range(here.patience.busy_retries):
        try:
            return work()
        except BusyError as error:
            pause = here.patience.busy_interval
            here.observer.tell(DiskBusy(name, error, pause))
            here.clock.sleep(pause)
    return work()
