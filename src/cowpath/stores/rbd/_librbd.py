"""The only importer of rados and rbd: one connection per cluster, errors translated.

Measured on Ceph 16.2: only `client_mount_timeout` bounds connecting, only
`rados_osd_op_timeout` bounds I/O with a dead OSD, only `rados_mon_op_timeout` bounds
a command to dead monitors, and opening a pool that does not exist waits for the
monitors without any bound. The options are set on our own connection only, never in
QEMU's configuration: a guest's I/O must wait for its OSD.

A client asks where an OSD is only when a request is older than `objecter_timeout`, 10
seconds in Ceph. One killed with SIGKILL comes back on its old port unnoticed: where
requests end earlier than that, they fail for ever (seen with `rados_osd_op_timeout` 4).
"""

import errno
import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rados
import rbd

from cowpath.core.errors import ConfigError
from cowpath.stores.rbd._failures import Doing, meaning
from cowpath.stores.rbd.config import RbdConfig

Error = (rados.Error, rbd.Error)
"""What the libraries raise, where it is dropped on purpose."""
ImageNotFound = rbd.ImageNotFound
ImageBusy = rbd.ImageBusy
Opened = rbd.Image

# Blocklisted or shut down: this connection never works again, a new one may.
_LOST = frozenset({errno.ESHUTDOWN, errno.ENOTCONN, errno.EBADF})


class Cluster:
    """One long-lived connection to a cluster, opened when first needed.

    Safe to share between threads: librados and librbd are, and an I/O context is
    never changed after it was opened. A connection that the cluster has cut off
    (blocklisting after a failover) is replaced for the next call.
    """

    def __init__(self, config: RbdConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: rados.Rados | None = None
        self._pools: dict[str, rados.Ioctx] = {}

    def __repr__(self) -> str:
        state = "open" if self._client else "not open"
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
            return str(self._connected().get_fsid())

    def instance(self) -> int:
        """Return the id by which the cluster knows this connection's watches."""
        return int(self._connected().get_instance_id())

    def pool(self, name: str) -> rados.Ioctx:
        """Return an I/O context of the pool; kept open.

        Raises:
            ConfigError: The cluster has no such pool.
        """
        with self._lock:
            if name not in self._pools:
                with self._translated(Doing(f"open pool {name}", self.name)):
                    self._pools[name] = self._open_pool(name)
            return self._pools[name]

    def ask_monitors(self, command: str, **words: str) -> Mapping[str, Any]:
        """Return what the monitors answer to a read-only command.

        Args:
            command: Such as `mon dump`.
            words: Its arguments.
        """
        with self.doing(f"ask the monitors: {command}", caps="mon 'profile rbd'"):
            client = self._connected()
            return _command(client, command, words)

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
        opened = rbd.Image(
            self.pool(pool), name, snapshot=snapshot, read_only=not writable
        )
        with opened as image:
            yield image

    @contextmanager
    def doing(self, what: str, *, caps: str = "") -> Iterator[None]:
        """Raise what the libraries refuse inside as one of our errors.

        Args:
            what: What is being done to which image, for the message.
            caps: The capabilities that it takes.
        """
        with self._translated(Doing(what, self.name, caps)):
            yield

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            self._drop()

    @contextmanager
    def _translated(self, doing: Doing) -> Iterator[None]:
        try:
            yield
        except (rados.Error, rbd.Error) as error:
            number = abs(int(getattr(error, "errno", 0) or 0))
            if number in _LOST:
                self._forget()
            raise meaning(number, str(error), doing) from error

    def _connected(self) -> rados.Rados:
        with self._lock:
            return self._connect()

    def _connect(self) -> rados.Rados:
        if self._client is None:
            with self._translated(Doing("connect to the cluster", self.name)):
                self._client = self._opened()
        return self._client

    def _opened(self) -> rados.Rados:
        try:
            return _connection(self._config)
        except rados.ObjectNotFound as error:
            raise ConfigError(
                f"the cluster cannot be reached as {self.name}: ceph.conf or the "
                f"user's keyring is not there, or not readable for us: {error}"
            ) from error

    def _open_pool(self, name: str) -> rados.Ioctx:
        client = self._connect()
        if name not in client.list_pools():
            # It may be new. The monitors know, and answer or fail within a bound;
            # open_ioctx of a missing pool would wait for them for ever.
            known = _command(client, "osd pool ls", {})
            if name not in known:
                raise ConfigError(
                    f"there is no pool {name} in the cluster ({self.name}); it has: "
                    f"{', '.join(sorted(known)) or 'none'}"
                )
        return client.open_ioctx(name)

    def _forget(self) -> None:
        # Never waits: who holds the lock may be the caller, or be stuck in Ceph.
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        pools, self._pools = self._pools, {}
        client, self._client = self._client, None
        for pool in pools.values():
            pool.close()
        if client is not None:
            client.shutdown()


def clone(base: tuple[rados.Ioctx, str, str], disk: tuple[rados.Ioctx, str]) -> None:
    """Make `disk` a copy-on-write clone of the snapshot `base`."""
    rbd.RBD().clone(*base, *disk, features=None)


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


def take(pool: rados.Ioctx, name: str, key: str) -> None:
    """Remove a key of an object's omap; absent is fine."""
    with rados.WriteOpCtx() as operation:
        pool.remove_omap_keys(operation, (key,))
        pool.operate_write_op(operation, name)


def got(pool: rados.Ioctx, name: str, key: str) -> str | None:
    """Return the value of a key of an object's omap; None if there is none."""
    with rados.ReadOpCtx() as operation:
        found, _ = pool.get_omap_vals_by_keys(operation, (key,))
        try:
            pool.operate_read_op(operation, name)
        except rados.ObjectNotFound:
            return None
        return next((value.decode() for _, value in found), None)


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


def _connection(config: RbdConfig) -> rados.Rados:
    client = rados.Rados(
        rados_id=config.user or None, conffile=config.conf, conf=_bounds(config)
    )
    try:
        client.connect()
    except BaseException:
        client.shutdown()
        raise
    return client


def _bounds(config: RbdConfig) -> dict[str, str]:
    return {
        # With a bound on its operations a client never learned that a killed OSD was
        # back (16.2.15): these have it ask for the new map within seconds.
        "objecter_timeout": "3",
        "objecter_tick_interval": "1",
        "client_mount_timeout": str(config.connect_timeout),
        "rados_osd_op_timeout": str(config.op_timeout),
        "rados_mon_op_timeout": str(config.op_timeout),
    }


def _command(
    client: rados.Rados, command: str, words: Mapping[str, str]
) -> Mapping[str, Any]:
    asked = json.dumps({"prefix": command, "format": "json", **words})
    number, out, said = client.mon_command(asked, b"")
    if number:
        # Not raised by the binding (measured): a tuple tells of a timeout too.
        raise rados.OSError(said or command, errno=-number)
    answer: Mapping[str, Any] = json.loads(out)
    return answer
