"""What may be cloned, trusted and adopted: decisions free of I/O."""

from collections.abc import Callable
from typing import TypeVar

from cowpath.core.errors import (
    ConflictError,
    NoSpaceError,
    UnsuitableError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import (
    SECTOR,
    Base,
    Bytes,
    Disk,
    DiskName,
    Image,
    Intake,
    Location,
    StoreName,
    whole_sectors,
)

GIB = 1024**3

_Found = TypeVar("_Found")

_CURES = {
    "queued": "upload its data first",
    "saving": "wait until its upload is done",
    "importing": "wait until its import is done",
    "uploading": "wait until its upload is done",
    "deactivated": "an administrator can reactivate it "
    "(openstack image set --activate)",
    "killed": "its upload failed; delete it and upload it again",
}

_FOREIGN_HEADERS = {
    b"QFI\xfb": "qcow2",
    b"QED\x00": "qed",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vhd",
}


def check_image(image: Image) -> None:
    """Accept an image of which a copy-on-write disk can be made.

    Raises:
        UnsuitableError: It is not active, not raw, or has no bytes anywhere.
    """
    who = f"image {image.id} ({image.name})"
    if image.status != "active":
        cure = _CURES.get(image.status, "it must be active")
        raise UnsuitableError(f"{who} is {image.status}: {cure}")
    if image.disk_format != "raw":
        raise UnsuitableError(
            f"{who} is {image.disk_format}, not raw, so it cannot be cloned: convert "
            f"it (qemu-img convert -O raw) and upload it again, or switch on Glance's "
            f"image_conversion plugin"
        )
    if not image.size or not image.stores:
        raise UnsuitableError(
            f"{who} has no bytes in any store, so there is nothing to copy or clone: "
            f"upload it again"
        )


def check_size(image: Image, size: Bytes | None) -> Bytes:
    """Return the size in bytes of a disk of `image`, asked to be `size`.

    Raises:
        UnsuitableError: `size` is smaller than the image or its min_disk.
    """
    smallest = max(image.size or 0, image.min_disk * GIB)
    whole = Bytes(-(-smallest // SECTOR) * SECTOR)
    if size is None:
        return whole
    if size < whole:
        raise UnsuitableError(
            f"a disk of image {image.id} ({image.name}) needs at least {whole} bytes, "
            f"{size} is too small: ask for more"
        )
    return size


def clone_size(base: Base, name: DiskName, size: Bytes | None) -> Bytes:
    """Return the size in bytes of a clone of `base`, asked to be `size`.

    Raises:
        UsageError: `size` is smaller than the base, or is no disk size.
    """
    smallest = Bytes(-(-base.size // SECTOR) * SECTOR)
    if size is None:
        return smallest
    if size < smallest:
        raise UsageError(
            f"disk {name} cannot have {size} bytes: its base {base.where} has "
            f"{base.size}"
        )
    return whole_sectors(size)


def check_room(
    image: Image, store: StoreName, intake: Intake, min_free: Bytes | None
) -> None:
    """Accept a copy of `image` that has room in the store, and leaves `min_free` there.

    Counted as if none of its bytes were zeros, which a thin store does not allocate:
    without `min_free`, only a store that takes nothing at all is refused. Glance would
    wait for it for ever, or fail without a reason (seen with a full pool and a full
    filesystem).

    Raises:
        NoSpaceError: It has not, or would leave less.
    """
    who = f"image {image.id} ({image.name}, {image.size} bytes)"
    if intake.free <= 0:
        why = "; ".join(intake.ailments) or "not a byte of it is free"
        raise NoSpaceError(
            f"store {store} takes no copy of {who}, so none was asked for: {why}. "
            f"Delete images or disks there, give it more room, or mend that"
        )
    left = intake.free - (image.size or 0)
    if min_free is not None and left < min_free:
        raise NoSpaceError(
            f"a copy of {who} would leave store {store} with {max(0, left)} bytes of "
            f"the {intake.free} that are free, and [cowpath] min_free is {min_free}: "
            f"delete images or disks there, give it more room, or lower min_free"
        )


def check_head(image: Image, head: bytes) -> None:
    """Accept a raw image by its first bytes.

    A raw image that begins with another format's header is mislabelled, or made to
    have its backing file opened by whoever probes it (CVE-2024-32498).

    Raises:
        UnsuitableError: The image begins with the header of another format.
    """
    for magic, name in _FOREIGN_HEADERS.items():
        if head.startswith(magic):
            raise UnsuitableError(
                f"image {image.id} ({image.name}) is labelled raw but begins with a "
                f"{name} header; no disk is made of it: convert it to raw and upload "
                f"it again"
            )


def choose_location(
    image: Image, store: StoreName, mine: Callable[[Location], _Found | None]
) -> _Found | None:
    """Return what `mine` makes of the first location that is ours.

    Locations come from outside (a tenant may PATCH one where policy is open): one
    that claims our store but that `mine` does not accept is an error, others
    belong to other sites: also where a wrong configuration has us in another
    site's cluster.

    Raises:
        UntrustedError: Glance shows a location in `store` that is not ours.
    """
    claimed = None
    for location in image.locations:
        if location.store not in (None, store):
            continue
        found = mine(location)
        if found is not None:
            return found
        if location.store == store:
            claimed = location
    if claimed:
        raise UntrustedError(
            f"Glance shows image {image.id} ({image.name}) in store {store} at "
            f"{claimed.shown}, which is not this site's: check the store name "
            f"(images_rbd_glance_store_name) and who may set locations"
        )
    return None


def check_adoption(disk: Disk, image: Image, size: Bytes, *, untouched: bool) -> None:
    """Accept a disk of an earlier, interrupted call as the one now asked for.

    Raises:
        ConflictError: It is somebody's disk: other image, no mark, written or open.
    """
    reasons = [
        reason
        for wrong, reason in (
            (not disk.marked, "was not made by Cowpath"),
            (disk.image != image.id, f"is a disk of image {disk.image or 'unknown'}"),
            (not untouched, "is in use or has been written to"),
            (disk.size > size, f"is larger ({disk.size} bytes)"),
        )
        if wrong
    ]
    if reasons:
        raise ConflictError(
            f"disk {disk.name} exists and {' and '.join(reasons)}: choose another "
            f"name, or delete it first (cowpath disk delete {disk.name})"
        )
