"""RBD: one connection per cluster, errors translated. The only importer of rbd."""

import errno
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import rados
import rbd

from cowpath.core.errors import CowpathError
from cowpath.core.model import Seconds
from cowpath.stores.rbd import _connection
from cowpath.stores.rbd._connection import Connection, connect, leave_one
from cowpath.stores.rbd._failures import Doing, meaning, not_connected
from cowpath.stores.rbd.config import RbdConfig

Error = (rados.Error, rbd.Error)
"""What the libraries raise, where it is dropped on purpose."""
ImageNotFound = rbd.ImageNotFound
ImageBusy = rbd.ImageBusy
NotAllowed = rbd.PermissionError
ObjectNotFound = rados.ObjectNotFound
LockHeld = (rados.ObjectBusy, rados.ObjectExists)
ImageExists = rbd.ImageExists
Opened = rbd.Image
Pool = rados.Ioctx
Snapshot = tuple[rados.Ioctx, str, str]

# Blocklisted or shut down: this connection never works again, a new one may.
_LOST = frozenset({errno.ESHUTDOWN, errno.ENOTCONN, errno.EBADF})

_ENTRIES = 1000
"""Of an omap, at most in one answer."""


class Cluster:
    """One long-lived connection to a cluster, opened when first needed.

    Safe to share between threads: librados and librbd are, and an I/O context is
    never changed after it was opened. A connection that the cluster has cut off
    (blocklisting after a failover) is replaced for the next call.
    """

    def __init__(
        self, config: RbdConfig, options: Mapping[str, str] | None = None
    ) -> None:
        self._config = config
        self._options = options or {}
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._failure: CowpathError | None = None
        self._mine = threading.local()

    def __repr__(self) -> str:
        state = "open" if self._connection else "not open"
        return f"Cluster({self.name}, {state})"

    @property
    def name(self) -> str:
        """The cluster and our user, in words."""
        user = f"client.{self._config.user}" if self._config.user else "default user"
        return f"{user} with {self._config.conf or 'the default ceph.conf'}"

    @property
    def fsid(self) -> str:
        """The cluster's fsid."""
        with self.doing("ask for the cluster's fsid"):
            return str(self._current().client.get_fsid())

    def instance(self) -> int:
        """Return the id by which the cluster knows this connection's watches."""
        return int(self._current().client.get_instance_id())

    def pool(self, name: str) -> rados.Ioctx:
        """Return an I/O context of the pool, good until the outermost `doing` ends.

        Raises:
            ConfigError: The cluster has no such pool.
        """
        with self._translated(Doing(f"open pool {name}", self.name)):
            return self._current().pool(name, self.name)

    def ask_monitors(self, command: str, **words: str) -> Mapping[str, Any]:
        """Return what the monitors answer to a read-only command.

        Args:
            command: Such as `mon dump`.
            words: Its arguments.
        """
        with self.doing(f"ask the monitors: {command}", caps="mon 'profile rbd'"):
            return _connection.command(self._current().client, command, words)

    @contextmanager
    def image(
        self,
        pool: str,
        name: str,
        *,
        snapshot: str | None = None,
        writable: bool = False,
    ) -> Iterator[rbd.Image]:
        """Open an image; reading takes no watch and no lock.

        Raises:
            NotFoundError: There is no such image or snapshot.
        """
        opened = open_image(self.pool(pool), name, writable=writable)
        try:
            if snapshot is not None:
                _at_snapshot(opened, snapshot)
            yield opened
        finally:
            if writable:
                self.close_image(opened)
            else:
                opened.close()

    def close_image(self, image: rbd.Image) -> None:
        """Close an image, and wait no longer than for any other operation.

        What holds the exclusive lock waits for its OSD without bound, whatever the
        options say (seen with an OSD that was paused meanwhile). It is left to end
        when the OSD is back, and the connection with it.
        """
        closed = threading.Event()
        left: list[Connection] = []

        def over(_: Any) -> None:
            closed.set()
            # Not in librbd's own thread: shutting down waits for that.
            if left:
                threading.Thread(target=leave_one, args=(left,)).start()

        image.aio_close(over)
        if closed.wait(self._config.op_timeout):
            return
        connection = self._current()
        connection.enter()
        left.append(connection)
        if closed.is_set():
            leave_one(left)
        raise rbd.Timeout("closing the image timed out", errno=errno.ETIMEDOUT)

    @contextmanager
    def doing(self, what: str, *, caps: str = "") -> Iterator[None]:
        """Raise what the libraries refuse inside as one of our errors.

        What else this class has is used inside only: it keeps the connection open.

        Args:
            what: What is being done to which image, for the message.
            caps: The capabilities that it takes.
        """
        with self._using(), self._translated(Doing(what, self.name, caps)):
            yield

    def telling(self, what: str, *, caps: str = "") -> AbstractContextManager[None]:
        """Raise what the libraries refuse inside as one of our errors, in any thread.

        Another thread is inside `doing`, which keeps the connection open.
        """
        return self._translated(Doing(what, self.name, caps))

    def close(self) -> None:
        """Close the connection when its last user is done; the next call opens one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.retire()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Let go of this thread's connection when its outermost use is over."""
        if getattr(self._mine, "used", None) is not None:
            yield
            return
        used: list[Connection] = []
        self._mine.used = used
        try:
            yield
        finally:
            self._mine.used = None
            for connection in used:
                connection.leave()

    def _current(self) -> Connection:
        """Return the connection that this thread uses; one for all of a `doing`."""
        used: list[Connection] = self._mine.used
        if not used:
            used.append(self._entered())
        return used[0]

    def _entered(self) -> Connection:
        known = self._failure
        with self._lock:
            if self._connection is None:
                # Who waited while another tried has waited as long as the bound says.
                failure = self._failure
                if failure is not None and failure is not known:
                    raise type(failure)(*failure.args) from failure
                self._connection = self._connect()
            self._connection.enter()
            return self._connection

    def _connect(self) -> Connection:
        try:
            return Connection(connect(self._config, self._options))
        except rados.Error as error:
            self._failure = not_connected(number_of(error), str(error), self.name)
            raise self._failure from error

    @contextmanager
    def _translated(self, doing: Doing) -> Iterator[None]:
        try:
            yield
        except (rados.Error, rbd.Error) as error:
            number = number_of(error)
            if number in _LOST:
                self._forget()
            raise meaning(number, str(error), doing) from error

    def _forget(self) -> None:
        """Have the next call open a new connection instead of this thread's."""
        used = getattr(self._mine, "used", None) or [self._connection]
        for connection in filter(None, used):
            with self._lock:
                if self._connection is connection:
                    self._connection = None
            connection.retire()


def number_of(error: BaseException) -> int:
    """Return the errno of what the libraries raised; 0 if it has none."""
    return abs(int(getattr(error, "errno", 0) or 0))


def clone(base: Snapshot, disk: tuple[rados.Ioctx, str]) -> None:
    """Make `disk` a copy-on-write clone of the snapshot `base`."""
    rbd.RBD().clone(*base, *disk, features=None)


def open_image(pool: rados.Ioctx, name: str, *, writable: bool) -> rbd.Image:
    """Open an image, and never try to open one that is not there.

    While threads do that over one connection and others open images that are there,
    librbd uses what it has freed: the process aborts, or an open never returns (16.2,
    seen within 200 rounds of 8 threads, and of one where it opened a snapshot).
    """
    try:
        pool.stat(f"rbd_id.{name}")
    except rados.ObjectNotFound as error:
        raise rbd.ImageNotFound(f"no image {name}", errno=errno.ENOENT) from error
    return rbd.Image(pool, name, read_only=not writable)


def _at_snapshot(image: rbd.Image, snapshot: str) -> None:
    """Turn to a snapshot of an open image: opening a missing one is no better."""
    if snapshot not in snapshots(image):
        raise rbd.ImageNotFound(f"no snapshot {snapshot}", errno=errno.ENOENT)
    image.set_snap(snapshot)


def names(pool: rados.Ioctx) -> list[str]:
    """Return the names of a pool's images."""
    return list(rbd.RBD().list(pool))


def snapshots(image: rbd.Image) -> set[str]:
    """Return the names of the image's snapshots."""
    return {str(each["name"]) for each in image.list_snaps()}


def watched_by_others(image: rbd.Image, instance: int) -> bool:
    """Tell whether another client than the connection `instance` has it open."""
    return any(watcher["id"] != instance for watcher in image.watchers_list())


def put(pool: rados.Ioctx, name: str, key: str, value: str) -> None:
    """Set a key of an object's omap; the object is made if need be."""
    with rados.WriteOpCtx() as operation:
        pool.set_omap(operation, (key,), (value.encode(),))
        pool.operate_write_op(operation, name)


def take(pool: rados.Ioctx, name: str, *keys: str) -> None:
    """Remove keys of an object's omap; absent is fine."""
    with rados.WriteOpCtx() as operation:
        pool.remove_omap_keys(operation, keys)
        pool.operate_write_op(operation, name)


def got(pool: rados.Ioctx, name: str, prefix: str) -> dict[str, str]:
    """Return the entries of an object's omap whose keys begin with `prefix`."""
    return {key: value.decode() for key, value in entries(pool, name, prefix).items()}


def entries(pool: rados.Ioctx, name: str, prefix: str) -> dict[str, bytes]:
    """Return the like of an omap that is not ours."""
    with rados.ReadOpCtx() as operation:
        found, _ = pool.get_omap_vals(operation, "", prefix, _ENTRIES)
        try:
            pool.operate_read_op(operation, name)
        except rados.ObjectNotFound:
            return {}
        return dict(found)


def named(pool: rados.Ioctx, name: str) -> float | None:
    """Return when an image got its name, in seconds since the epoch; None if not.

    By the clock of the client which named it.
    """
    try:
        _, stamp = pool.stat(f"rbd_id.{name}")
    except rados.ObjectNotFound:
        return None
    return time.mktime(stamp)


def is_taken(pool: rados.Ioctx, name: str) -> bool:
    """Tell whether a name is taken, if only in part: nobody can make such an image."""
    if named(pool, name) is not None:
        return True
    with rados.ReadOpCtx() as operation:
        key = f"name_{name}"
        found, _ = pool.get_omap_vals_by_keys(operation, (key,))
        try:
            pool.operate_read_op(operation, "rbd_directory")
        except rados.ObjectNotFound:
            return False
        return bool(list(found))


def created(image: rbd.Image) -> float:
    """Return when an image was made, in whole seconds since the epoch.

    By the clock of the OSD which made its header.
    """
    stamp: datetime = image.create_timestamp()
    # In UTC, and naive (seen with Ceph 16.2).
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def id_of(image: rbd.Image) -> str:
    """Return the image's internal id, which no other image of the pool ever has."""
    return str(image.id())


def has_clones(image: rbd.Image) -> bool:
    """Tell whether any snapshot has clones, in any pool; also one in the trash.

    PermissionError of the library where there is one in a pool that we may not read.
    """
    return any(True for _ in image.list_descendants())


def check_unneeded(image: rbd.Image, refusal: Exception) -> None:
    """Accept an image without clones.

    Raises:
        Exception: `refusal`: it has some, or we may not see whether it has.
    """
    unreadable = None
    try:
        if not has_clones(image):
            return
    except NotAllowed as error:
        unreadable = error
    raise refusal from unreadable


def trash(pool: rados.Ioctx, name: str, keep: Seconds) -> None:
    """Move an image to the trash, where only force removes it for `keep` seconds.

    A name without an image is taken too, where the pool's list has it.
    """
    try:
        rbd.RBD().trash_move(pool, name, math.ceil(keep))
    except rbd.ImageNotFound as error:
        # Said also of an image that is there, where the pool is full and has never
        # had a trash (16.2): the trash cannot be made.
        with suppress(rbd.ImageNotFound), rbd.Image(pool, name, read_only=True):
            said = f"{error}, but it is there: the pool's trash could not be made"
            raise rbd.NoSpace(said, errno=errno.ENOSPC) from error
        raise


def trashed(pool: rados.Ioctx, name: str) -> list[str]:
    """Return the internal ids of what has a name in the trash."""
    found = rbd.RBD().trash_list(pool)
    return sorted(str(each["id"]) for each in found if each["name"] == name)


def trashed_has_clones(pool: rados.Ioctx, rbd_id: str) -> bool:
    """Tell whether an image in the trash has clones, as far as we may look."""
    try:
        with rbd.Image(pool, image_id=rbd_id, read_only=True) as image:
            return has_clones(image)
    except rbd.PermissionError:
        return True
    except rbd.ImageNotFound:
        return False


def touch(pool: rados.Ioctx, name: str) -> None:
    """Have an OSD answer for an object; absent is fine."""
    with suppress(rados.ObjectNotFound):
        pool.stat(name)


def remove(pool: rados.Ioctx, name: str) -> None:
    """Remove an image."""
    rbd.RBD().remove(pool, name)


def metadata(image: rbd.Image, key: str) -> str | None:
    """Return a value of the image's metadata; None if it has none."""
    try:
        return str(image.metadata_get(key))
    except KeyError:
        return None


def parent(image: rbd.Image) -> tuple[str, str, str] | None:
    """Return the pool, image and snapshot that it is a clone of; None if of none."""
    try:
        return tuple(image.parent_info())
    except rbd.ImageNotFound:
        return None


def allocated(image: rbd.Image) -> int:
    """Return the bytes of the objects that the image itself has, without a parent's."""
    found = 0

    def count(_offset: int, length: int, exists: bool) -> None:  # noqa: FBT001  # librbd's
        nonlocal found
        found += length if exists else 0

    image.diff_iterate(
        0, image.size(), None, count, include_parent=False, whole_object=True
    )
    return found
