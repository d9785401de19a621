"""A Ceph cluster in memory, and what Python's `rados` and `rbd` show of it.

Only what Nova's RBD driver uses, with the errors that it meets. Who uses a connection
that was shut down, which librados answers by crashing, is told so by an assertion.
"""

import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cowpath.doors.nova import threads

SNAP = "snap"
_CRASH = "librados would have crashed: used after shutdown"


class RadosError(Exception):
    """As `rados.Error`."""


class ObjectNotFoundError(RadosError):
    """As `rados.ObjectNotFound`."""

    errno = errno.ENOENT


class ClientShutOutError(RadosError):
    """As `rados.ConnectionShutdown`, which who was blocklisted gets."""

    errno = errno.ESHUTDOWN


class RbdError(Exception):
    """As `rbd.Error`."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = type(self).errno if errno is None else errno

    errno: int | None = None


class ImageNotFoundError(RbdError):
    """As `rbd.ImageNotFound`."""

    errno = errno.ENOENT


class ImageBusyError(RbdError):
    """As `rbd.ImageBusy`."""

    errno = errno.EBUSY


class ImageHasSnapshotsError(RbdError):
    """As `rbd.ImageHasSnapshots`."""

    errno = errno.ENOTEMPTY


class PermissionDeniedError(RbdError):
    """As `rbd.PermissionError`."""

    errno = errno.EPERM


class ConnectionShutdownError(RbdError):
    """As `rbd.ConnectionShutdown`."""

    errno = errno.ESHUTDOWN


@dataclass(slots=True)
class Volume:
    """An RBD image.

    Attributes:
        size: Bytes.
        written: Bytes that were written to it.
        snaps: Whether each of its snapshots is protected.
        parent: Pool, image and snapshot that it is a clone of.
    """

    size: int
    written: int = 0
    snaps: dict[str, bool] = field(default_factory=dict)
    parent: tuple[str, str, str] | None = None


@dataclass(slots=True)
class Client:
    """A connection to a cluster."""

    cluster: "Cluster"
    number: int
    thread: int
    pid: int
    blocklisted: bool = False
    down: bool = False

    def check(self) -> None:
        """Accept a client that the cluster's disks answer."""
        assert not self.down, _CRASH
        if self.blocklisted:
            raise ConnectionShutdownError("the cluster has shut this client out")


class Cluster:
    """A cluster, its pools, and who ever connected to it."""

    def __init__(self, fsid: str, *pools: str) -> None:
        self.fsid = fsid
        self.pools: dict[str, dict[str, Volume]] = {pool: {} for pool in pools}
        self.clients: list[Client] = []
        self.refusal: Exception | None = None
        """What connecting raises."""
        self.read_only: set[str] = set()
        """Pools that the user may not write to."""
        self.mons = ["10.0.0.1:6789/0", "[fd00::1]:6789/0"]
        self.mons_answer = True
        """Whether the user may ask the monitors."""
        self.busy: set[str] = set()
        """Images that somebody has open."""
        self.connecting: Callable[[], object] = lambda: None

    @property
    def open(self) -> list[Client]:
        """Return the connections that were not shut down."""
        return [client for client in self.clients if not client.down]

    def put(self, pool: str, name: str, size: int, *, written: int = 0) -> Volume:
        """Have an image."""
        volume = self.pools[pool].setdefault(name, Volume(size))
        volume.size, volume.written = size, written
        return volume

    def arrive(self, name: str, size: int, present: int | None) -> None:
        """Show what Glance has written of an image so far."""
        if present is None:
            self.pools["images"].pop(name, None)
            return
        volume = self.put("images", name, size, written=present)
        if present == size:
            volume.snaps[SNAP] = True

    def connect(self) -> Client:
        """Let somebody connect."""
        self.connecting()
        if self.refusal is not None:
            raise self.refusal
        native = threads.native() or threading
        found = Client(self, len(self.clients), native.get_ident(), os.getpid())
        self.clients.append(found)
        return found

    def names(self, pool: str) -> list[str]:
        """Return the names of the images in a pool."""
        return sorted(self.pools[pool])


class _Pool:
    """As `rados.Ioctx`."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.closed = False

    @property
    def volumes(self) -> dict[str, Volume]:
        assert not self.closed, _CRASH
        self.client.check()
        return self.client.cluster.pools[self.name]

    def writable(self) -> dict[str, Volume]:
        if self.name in self.client.cluster.read_only:
            raise PermissionDeniedError(f"no write permission in {self.name}")
        return self.volumes

    def stat(self, key: str) -> tuple[int, float]:
        assert not self.client.down, _CRASH
        if self.client.blocklisted:
            raise ClientShutOutError("the cluster has shut this client out")
        if key.removeprefix("rbd_id.") not in self.volumes:
            raise ObjectNotFoundError(f"there is no object {key}")
        return 16, 0.0

    def close(self) -> None:
        assert not self.client.down, _CRASH
        self.closed = True


class _Rados:
    """As `rados.Rados`."""

    def __init__(self, clusters: dict[str, Cluster], user: str, conf: str) -> None:
        del user
        self._cluster = clusters[conf]
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "not connected"
        return self._client

    def connect(self, timeout: float) -> None:
        assert timeout > 0, "0 would wait for ever"
        self._client = self._cluster.connect()

    def open_ioctx(self, pool: str) -> _Pool:
        assert not self.client.down, _CRASH
        if pool not in self._cluster.pools:
            raise ObjectNotFoundError(f"there is no pool {pool}")
        return _Pool(self.client, pool)

    def get_fsid(self) -> str:
        assert not self.client.down, _CRASH
        return self._cluster.fsid

    def conf_get(self, name: str) -> str:
        assert name == "rbd_default_features"
        return "61"

    def conf_set(self, name: str, value: str) -> None:
        assert name == "rados_mon_op_timeout"
        assert int(value) > 0, "0 would wait for ever"

    def mon_command(self, command: str, data: bytes) -> tuple[int, bytes, str]:
        assert not self.client.down, _CRASH
        prefix = json.loads(command)["prefix"]
        if prefix == "fsid":
            return (-errno.ETIMEDOUT if self._cluster.refusal else 0), b"", ""
        assert prefix == "mon dump"
        assert data == b""
        if not self._cluster.mons_answer:
            return -errno.EACCES, b"", "access denied"
        return 0, mon_dump(self._cluster).encode(), ""

    def shutdown(self) -> None:
        if self._client is not None:
            assert not self._client.down, "shut down twice"
            self._client.down = True


class _Image:
    """As `rbd.Image`."""

    def __init__(
        self,
        ioctx: _Pool,
        name: str,
        snapshot: str | None = None,
        read_only: bool = False,  # noqa: FBT001, FBT002  # rbd's
    ) -> None:
        found = (ioctx.volumes if read_only else ioctx.writable()).get(name)
        if found is None or (snapshot is not None and snapshot not in found.snaps):
            raise ImageNotFoundError(f"{ioctx.name}/{name}@{snapshot}")
        self._pool = ioctx
        self._volume = found

    @property
    def _open(self) -> Volume:
        assert self._pool.volumes is not None
        return self._volume

    def close(self) -> None:
        assert not self._pool.client.down, _CRASH

    def size(self) -> int:
        return self._open.size

    def resize(self, size: int) -> None:
        self._open.size = size

    def parent_info(self) -> tuple[str, str, str]:
        if self._open.parent is None:
            raise ImageNotFoundError("no parent")
        return self._open.parent

    def flatten(self) -> None:
        self._open.parent = None

    def create_snap(self, name: str) -> None:
        self._open.snaps[name] = False

    def list_snaps(self) -> list[dict[str, str]]:
        return [{"name": name} for name in self._open.snaps]

    def set_snap(self, name: str) -> None:
        assert name in self._open.snaps

    def is_protected_snap(self, name: str) -> bool:
        return self._open.snaps[name]

    def protect_snap(self, name: str) -> None:
        self._open.snaps[name] = True

    def unprotect_snap(self, name: str) -> None:
        self._open.snaps[name] = False

    def remove_snap(self, name: str) -> None:
        if self._open.snaps[name]:
            raise ImageBusyError(f"snapshot {name} is protected")
        del self._open.snaps[name]

    def rollback_to_snap(self, name: str) -> None:
        assert name in self._open.snaps
        self._open.written = 0


class _Rbd:
    """As `rbd.RBD`."""

    def clone(
        self,
        parent_ioctx: _Pool,
        parent: str,
        snap: str,
        ioctx: _Pool,
        name: str,
        features: int,
    ) -> None:
        assert features == 61
        source = parent_ioctx.volumes[parent]
        assert source.snaps[snap], "a snapshot must be protected to be cloned"
        place = (parent_ioctx.name, parent, snap)
        ioctx.writable()[name] = Volume(source.size, parent=place)

    def remove(self, ioctx: _Pool, name: str) -> None:
        volume = ioctx.writable().get(name)
        if volume is None:
            raise ImageNotFoundError(name)
        if volume.snaps:
            raise ImageHasSnapshotsError(name)
        if name in ioctx.client.cluster.busy:
            raise ImageBusyError(name)
        del ioctx.volumes[name]

    def list(self, ioctx: _Pool) -> list[str]:
        return sorted(ioctx.volumes)


def mon_dump(cluster: Cluster) -> str:
    """Return what `ceph mon dump --format=json` says."""
    return json.dumps({"mons": [{"addr": address} for address in cluster.mons]})


def rados_of(clusters: dict[str, Cluster]) -> Any:
    """Return a module `rados` for clusters, by their ceph.conf."""

    class Rados(_Rados):
        def __init__(self, rados_id: str, conffile: str) -> None:
            super().__init__(clusters, rados_id, conffile)

    return SimpleNamespace(
        Rados=Rados, Error=RadosError, ObjectNotFound=ObjectNotFoundError
    )


RBD: Any = SimpleNamespace(
    Image=_Image,
    RBD=_Rbd,
    Error=RbdError,
    ImageNotFound=ImageNotFoundError,
    ImageBusy=ImageBusyError,
    ImageHasSnapshots=ImageHasSnapshotsError,
    PermissionError=PermissionDeniedError,
    RBD_FEATURE_LAYERING=1,
)
"""A module `rbd`."""
