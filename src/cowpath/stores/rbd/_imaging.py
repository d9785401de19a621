"""librbd's calls that copying an image takes: whole images, extents, snapshots, names.

What was tried with Ceph 16.2 and is built upon:

* `deep_copy` makes the target's snapshot first and the objects after, and keeps only
  the snapshot's object map up to date until the end: in what a killed one left, the
  image itself seems to have no objects. Removing it then leaves them all for ever.
  Rolling it back to the snapshot puts that right, at a cost by what was copied.
* The exclusive lock of a dead client blocks the first change for 28 s, unless it is
  broken: librbd blocklists the client then, so nothing of it comes late.
* A snapshot that was removed reads as zeros through whoever has it open.
"""

import errno
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import rados
import rbd

from cowpath.core.model import Bytes, Seconds
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd._places import SNAPSHOT
from cowpath.stores.rbd._ranges import joined

_WINDOW = 2**37
"""Bytes of an image whose objects are listed at once: 16384 of 8 MiB."""

# Layering, exclusive lock, object map, fast diff, deep flatten: what Glance's images
# have by Ceph's defaults. A journal or a mirror of the source's is its own.
_FEATURES = 1 | 4 | 8 | 16 | 32

Unable = (rbd.InvalidArgument, rbd.FunctionNotSupported)
"""What librbd says of an image that it does not copy."""

_PAUSE: Seconds = 0.05
"""Before what is not there yet is looked for again."""

_DIRECTORY = "rbd_directory"
"""The object that lists a pool's images."""

_LENGTH = 4
"""Bytes before every text in librbd's own objects."""

_SNAPSHOT_KEY = "snapshot_"
"""What the keys of a header begin with that are its snapshots'; their ids follow."""

_INTERNAL_LOCK = "internal"
"""The tag of librbd's own exclusive lock."""


def layout(image: rbd.Image) -> Layout:
    """Return how the image, at the snapshot that it is turned to, is cut up."""
    facts = image.stat()
    order, snapshots = int(facts["order"]), list(image.list_snaps())
    at = [each["id"] for each in snapshots if each["name"] == SNAPSHOT]
    return Layout(
        str(image.id()),
        int(image.data_pool_id()),
        str(facts["block_name_prefix"]),
        order,
        Bytes(image.size()),
        at[0] if at else None,
        striped=image.stripe_count() != 1 or image.stripe_unit() != 1 << order,
        layered=librbd.parent(image) is not None,
        is_base=len(snapshots) == 1 and bool(at) and _is_protected(image),
        features=int(image.features()),
    )


def _is_protected(image: rbd.Image) -> bool:
    return bool(image.is_protected_snap(SNAPSHOT))


def extents(image: rbd.Image, size: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of what may hold data; by its object map, so fast."""
    return joined(_objects(image, size))


def _objects(image: rbd.Image, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, _WINDOW):
        found: list[tuple[int, int]] = []
        length = min(_WINDOW, size - start)
        image.diff_iterate(start, length, None, _into(found), whole_object=True)
        yield from found


def _into(found: list[tuple[int, int]]) -> Any:
    def note(offset: int, length: int, exists: bool) -> None:  # noqa: FBT001  # librbd's
        if exists:
            found.append((offset, offset + length))

    return note


def draft_layout(
    pool: rados.Ioctx, name: str, order: int, size: Bytes
) -> Layout | None:
    """Return how an image that is being made is cut up; None where it is too soon."""
    rbd_id = id_behind(pool, name)
    header = librbd.entries(pool, f"rbd_header.{rbd_id}", "") if rbd_id else {}
    if "object_prefix" not in header:
        return None
    other = header.get("data_pool_id")
    number = int.from_bytes(other, "little") if other else pool.get_pool_id()
    prefix = header["object_prefix"][_LENGTH:].decode()
    return Layout(rbd_id, number, prefix, order, size)


def present(cluster: librbd.Cluster, pool: str, name: str) -> Bytes | None:
    """Return the bytes of the objects that an image has which is being copied.

    None where there is none; and in the first moments of its making, when opening it is
    what makes librbd use what it has freed.
    """
    if draft_layout(cluster.pool(pool), name, 0, Bytes(0)) is None:
        return None
    with suppress(rbd.ImageNotFound), cluster.image(pool, name) as seen:
        if SNAPSHOT in librbd.snapshots(seen):
            seen.set_snap(SNAPSHOT)
        return Bytes(librbd.allocated(seen))
    return None


def layout_when_begun(
    pool: rados.Ioctx, name: str, wanted: Layout, over: threading.Event
) -> Layout | None:
    """Return how what `deep_copy` makes of `wanted` is cut up, once it has a snapshot.

    None if that was over before it had.
    """
    while not over.is_set():
        rbd_id = id_behind(pool, name)
        header = f"rbd_header.{rbd_id}"
        made = librbd.entries(pool, header, _SNAPSHOT_KEY) if rbd_id else {}
        if made:
            found = draft_layout(pool, name, wanted.order, wanted.size)
            return found and replace(found, snapshot=_snapshot_id(min(made)))
        over.wait(_PAUSE)
    return None


def _snapshot_id(key: str) -> int:
    return int(key.removeprefix(_SNAPSHOT_KEY), 16)


def open_snapshot(pool: rados.Ioctx, name: str) -> rbd.Image:
    """Return an image open for reading what is published of it."""
    opened = librbd.open_image(pool, name, writable=False)
    try:
        opened.set_snap(SNAPSHOT)
    except BaseException:
        opened.close()
        raise
    return opened


def remove_stump(pool: rados.Ioctx, name: str) -> bool:
    """Remove an image without bytes, or the name that is all there is of it.

    Tell whether it is gone: not while it is open for a client that was killed.
    """
    try:
        _remove_quietly(pool, name)
    except rbd.ImageBusy:
        return False
    # librbd does not find an image without a header by its name's object, and by the
    # pool's list only where that object is gone.
    with suppress(rados.ObjectNotFound):
        pool.remove_object(f"rbd_id.{name}")
    _remove_quietly(pool, name)
    return True


def _remove_quietly(pool: rados.Ioctx, name: str) -> None:
    with suppress(rbd.ImageNotFound):
        rbd.RBD().remove(pool, name)


def set_metadata(pool: rados.Ioctx, rbd_id: str, key: str, value: str) -> None:
    """Set a key of an image's metadata, without opening it: that takes 13 round trips.

    It is the call of an OSD's that librbd makes for it.
    """
    entry = (1).to_bytes(_LENGTH, "little") + _text(key) + _text(value)
    pool.execute(f"rbd_header.{rbd_id}", "rbd", "metadata_set", entry)


def drop_metadata(pool: rados.Ioctx, name: str, key: str) -> None:
    """Remove a key of an image's metadata; absent is fine, the image too."""
    rbd_id = id_behind(pool, name)
    if rbd_id:
        with suppress(rados.ObjectNotFound):
            pool.execute(f"rbd_header.{rbd_id}", "rbd", "metadata_remove", _text(key))


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(_LENGTH, "little") + text.encode()


def is_there(pool: rados.Ioctx, shown: Layout) -> bool:
    """Tell whether the snapshot still is; its id is never given to another."""
    key = f"{_SNAPSHOT_KEY}{shown.snapshot:016x}"
    return bool(librbd.entries(pool, f"rbd_header.{shown.rbd_id}", key))


def deep_copy(
    source: rbd.Image, shown: Layout, target: tuple[rados.Ioctx, str]
) -> None:
    """Copy an image with its snapshot, in parallel and sparse; also between clusters.

    Another order than the source's it refuses.
    """
    wanted = shown.features & _FEATURES
    source.deep_copy(*target, order=shown.order, features=wanted)


def id_behind(pool: rados.Ioctx, name: str) -> str:
    """Return the internal id of the image that has a name; empty if none has."""
    try:
        return bytes(pool.read(f"rbd_id.{name}"))[_LENGTH:].decode()
    except rados.ObjectNotFound:
        return ""


def mend_names(pool: rados.Ioctx, rbd_id: str, *names: str) -> None:
    """Take the wrong ones from an image that a killed `rename` left with two names."""
    key = f"id_{rbd_id}"
    listed = librbd.entries(pool, _DIRECTORY, key).get(key, b"")[_LENGTH:].decode()
    for name in names:
        doubled = listed in names and name != listed
        if doubled and id_behind(pool, name) == rbd_id:
            pool.remove_object(f"rbd_id.{name}")


def create(pool: rados.Ioctx, name: str, size: int, order: int) -> None:
    """Create an empty image."""
    rbd.RBD().create(pool, name, size, order=order, old_format=False)


def rename(pool: rados.Ioctx, old: str, new: str) -> None:
    """Give an image that nobody has open another name; refused where that is taken.

    By librbd's own steps, and in their order, but without opening the image and telling
    its watchers: 4 round trips instead of 28, of which each is felt over a long way.
    """
    rbd_id = id_behind(pool, old)
    if not rbd_id:
        raise rbd.ImageNotFound(f"no image {old}", errno=errno.ENOENT)
    try:
        _write_new(pool, f"rbd_id.{new}", _text(rbd_id))
        pool.execute(
            _DIRECTORY,
            "rbd",
            "dir_rename_image",
            _text(old) + _text(new) + _text(rbd_id),
        )
    except rados.ObjectExists as error:
        if id_behind(pool, new) == rbd_id:
            # Refused by the pool's list, which has the name without its object.
            pool.remove_object(f"rbd_id.{new}")
        raise rbd.ImageExists(f"{new} is taken", errno=errno.EEXIST) from error
    pool.remove_object(f"rbd_id.{old}")


def _write_new(pool: rados.Ioctx, name: str, data: bytes) -> None:
    with rados.WriteOpCtx() as operation:
        operation.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        operation.write_full(data)
        pool.operate_write_op(operation, name)


def break_dead_lock(image: rbd.Image, instance: int) -> None:
    """Take the exclusive lock from a client that is surely dead, and cut it off."""
    told: Any = image.list_lockers()
    if not told or told["tag"] != _INTERNAL_LOCK:
        return
    owners = {str(client) for client, _, _ in told["lockers"]}
    if owners == {f"client.{instance}"}:
        return
    for owner in image.lock_get_owners():
        # It may have gone meanwhile.
        with suppress(rbd.ImageNotFound):
            image.lock_break(owner["mode"], owner["owner"])


def settle(image: rbd.Image) -> None:
    """Have an image know of the objects that a killed `deep_copy` left in it."""
    if SNAPSHOT in librbd.snapshots(image):
        image.rollback_to_snap(SNAPSHOT)
        drop_snapshot(image)
    if image.flags() & rbd.RBD_FLAG_OBJECT_MAP_INVALID:
        image.rebuild_object_map()


def drop_snapshot(image: rbd.Image) -> None:
    """Remove the image's snapshot, if it has one."""
    if SNAPSHOT not in librbd.snapshots(image):
        return
    if image.is_protected_snap(SNAPSHOT):
        image.unprotect_snap(SNAPSHOT)
    image.remove_snap(SNAPSHOT)


def keep_snapshot(image: rbd.Image) -> None:
    """Make the snapshot that is cloned, unless it is there, and protect it."""
    if SNAPSHOT not in librbd.snapshots(image):
        image.create_snap(SNAPSHOT)
    if not image.is_protected_snap(SNAPSHOT):
        image.protect_snap(SNAPSHOT)
