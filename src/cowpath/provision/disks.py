"""Make, grow and delete the copy-on-write disks of this site's guests."""

from contextlib import ExitStack

from cowpath.core.errors import NotFoundError
from cowpath.core.events import DiskAdopted, DiskDeleted, DiskGrown, DiskMade
from cowpath.core.model import Base, Bytes, Disk, DiskName, Image
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_adoption, check_image, check_size
from cowpath.provision.ensure import ensure_local


def create_disk(
    image: Image, name: DiskName, here: SitePorts, *, size: Bytes | None = None
) -> Disk:
    """Return a disk of `image`, `size` bytes large (the image's size if None).

    A disk that an earlier call left unfinished, killed between cloning and growing,
    is finished and returned; see `core.rules.check_adoption`.

    Raises:
        UnsuitableError: No disk of that size can be made of the image.
        ConflictError: The name is taken by another disk.
        NoSpaceError: The store is full; no disk is left behind.
        CopyError: The image is not here and did not come.
    """
    check_image(image)
    wanted = check_size(image, size)
    found = here.disks.find_disk(name)
    if found is not None:
        return _adopt(found, image, wanted, here)
    base = ensure_local(image, here)
    return _make(base, name, wanted, here)


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
    here.disks.delete(name)
    here.observer.tell(DiskDeleted(disk))
    return disk


def _make(base: Base, name: DiskName, size: Bytes, here: SitePorts) -> Disk:
    with ExitStack() as undo:
        disk = here.disks.clone(base, name)
        undo.callback(here.disks.delete, name)
        if size > disk.size:
            # Killed here, it leaves a marked, unwritten disk: the next call adopts it.
            disk = here.disks.grow(disk, size)
        undo.pop_all()
    here.observer.tell(DiskMade(disk))
    return disk


def _adopt(disk: Disk, image: Image, size: Bytes, here: SitePorts) -> Disk:
    check_adoption(disk, image, size, untouched=here.disks.untouched(disk))
    grown = here.disks.grow(disk, size) if size > disk.size else disk
    here.observer.tell(DiskAdopted(grown))
    return grown
