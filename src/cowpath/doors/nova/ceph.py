"""Nova's RBD driver over connections that stay open.

Nova connects to the cluster anew for every call, and once for every location of an
image just to compare fsids. All its calls pass one pair of methods, so that is where
the connections are kept.
"""

import errno
import json
import os
import sys
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from nova.storage import rbd_utils
from oslo_log import log as logging

from cowpath.clock import SystemClock
from cowpath.core.model import Seconds
from cowpath.doors.nova import threads

LOG = logging.getLogger(__name__)

# Blocklisted after a failover, or shut down: such a connection never works again.
_LOST = frozenset({errno.ESHUTDOWN, errno.ENOTCONN, errno.EBADF})

# A key or its caps may have been changed since: a new connection reads the keyring.
_DOUBTFUL = _LOST | {errno.EPERM, errno.EACCES}

# Idle for longer, a connection is asked for a sign of life before it is used.
_FRESH: Seconds = 5.0

# So many builds at once need no new connections; each has some 20 threads.
_KEPT = 4

_FSID = json.dumps({"prefix": "fsid"})
_MON_DUMP = json.dumps({"prefix": "mon dump", "format": "json"})


@dataclass(frozen=True, slots=True)
class _Idle:
    """A connection that nobody uses, and since when."""

    client: Any
    since: Seconds


class _Used:
    """A connection in use."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls = 1
        self.broken = False


class Connections:
    """Connections that stay open, for each user of each cluster.

    One is used by one thread at a time, as Nova's are. librbd 16.2 frees what it
    still uses where threads open images over one connection: the process aborts, or
    an open never returns.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock = SystemClock()
        self._idle: dict[Hashable, list[_Idle]] = {}
        self._used: dict[tuple[int, Hashable], _Used] = {}
        self._lost: list[_Used] = []

    def enter(self, driver: Any) -> Any:
        """Return a connected client for a driver, this thread's until `leave`.

        Raises:
            rados.Error: The cluster cannot be reached.
        """
        mine = (threading.get_ident(), _key(driver))
        with self._lock:
            used = self._used.get(mine)
            if used is not None:
                used.calls += 1
                return used.client
        client = self._alive(mine[1])
        if client is None:
            client = threads.offload(lambda: _connect(driver))
        with self._lock:
            self._used[mine] = _Used(client)
        return client

    def _alive(self, key: Hashable) -> Any:
        """Return an idle client that works, no longer idle; None if there is none.

        On a client that is connected nothing else is bound in time, and Nova gives up
        after a connect that took rbd_connect_timeout.
        """
        with self._lock:
            idle = self._idle.get(key)
            found = idle.pop() if idle else None
        if found is None:
            return None
        rested = self._clock.now() - found.since
        if rested < _FRESH or threads.offload(lambda: _answers(found.client)):
            return found.client
        with self._lock:
            # They have rested as long, over the same network.
            ended = [found, *self._idle.pop(key, [])]
        for each in ended:
            threads.offload(each.client.shutdown)
        return None

    def leave(self, client: Any, *, broken: bool) -> None:
        """Use a client no more.

        Args:
            client: What `enter` returned.
            broken: It will never work again: the next `enter` connects anew. Those
                that are idle were cut off with it.
        """
        with self._lock:
            ended = self._left(client, broken=broken)
        for each in ended:
            threads.offload(each.shutdown)

    def _left(self, client: Any, *, broken: bool) -> list[Any]:
        """Return the clients that are to be shut down now: nobody uses them."""
        if mine := self._mine(client):
            used = self._used[mine]
        else:
            used = next(each for each in self._lost if each.client is client)
        used.calls -= 1
        idle = self._idle.setdefault(mine[1], []) if mine else []
        ended = []
        if mine and broken:
            used.broken = True
            self._lost.append(self._used.pop(mine))
            ended, idle[:] = [each.client for each in idle], []
        if used.calls:
            return ended
        if used.broken:
            self._lost.remove(used)
        elif mine:
            del self._used[mine]
            if len(idle) < _KEPT:
                idle.append(_Idle(client, self._clock.now()))
                return ended
        return [*ended, client]

    def _mine(self, client: Any) -> tuple[int, Hashable] | None:
        found = (key for key, used in self._used.items() if used.client is client)
        return next(found, None)


CONNECTIONS = Connections()
"""Those of this process."""


class RBDVolumeProxy(rbd_utils.RBDVolumeProxy):
    """Nova's open image; what is not there is not opened, nor is a snapshot.

    librbd 16.2 frees what it still uses in both cases.
    """

    def __init__(  # Nova's
        self,
        driver: Any,
        name: str,
        pool: str | None = None,
        snapshot: str | None = None,
        read_only: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        with rbd_utils.RADOSClient(driver, pool) as client:
            threads.offload(lambda: _check_is_there(client.ioctx, name))
        super().__init__(driver, name, pool=pool, read_only=read_only)
        if snapshot is None:
            return
        try:
            threads.offload(lambda: _turn_to(self.volume, snapshot))
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise


def _check_is_there(pool: Any, name: str) -> None:
    """Accept an image that a pool has.

    Raises:
        rbd.ImageNotFound: It has not.
        rbd.PermissionError: We may not look into that pool.
    """
    for header in (f"rbd_id.{name}", f"{name}.rbd"):
        try:
            pool.stat(header)
        except rbd_utils.rados.ObjectNotFound:
            continue
        except rbd_utils.rados.Error as error:
            if _number(error) not in {errno.EPERM, errno.EACCES}:
                raise
            # What opening it says, and Nova knows as "not for us".
            refused = rbd_utils.rbd.PermissionError
            raise refused(str(error), errno=errno.EPERM) from error
        return
    LOG.debug("rbd image %s does not exist", name)
    raise rbd_utils.rbd.ImageNotFound(f"no image {name}", errno=errno.ENOENT)


def _turn_to(image: Any, snapshot: str) -> None:
    """Have an open image show a snapshot.

    Raises:
        rbd.ImageNotFound: It has none of that name.
    """
    if snapshot not in [each["name"] for each in image.list_snaps()]:
        raise rbd_utils.rbd.ImageNotFound(f"no snapshot {snapshot}", errno=errno.ENOENT)
    image.set_snap(snapshot)


class RBDDriver(rbd_utils.RBDDriver):
    """Nova's driver: connections are kept, and some answers are mended."""

    def _connect_to_rados(self, pool: str | None = None) -> tuple[Any, Any]:
        client = CONNECTIONS.enter(self)
        try:
            opened = threads.offload(lambda: client.open_ioctx(str(pool or self.pool)))
        except BaseException as error:
            CONNECTIONS.leave(client, broken=_number(error) in _DOUBTFUL)
            raise
        return client, opened

    def _disconnect_from_rados(self, client: Any, ioctx: Any) -> None:
        ioctx.close()
        # Nova comes here while it handles what went wrong, if anything did.
        broken = _number(sys.exc_info()[1]) in _DOUBTFUL
        CONNECTIONS.leave(client, broken=broken)

    def exists(
        self, name: str, pool: str | None = None, snapshot: str | None = None
    ) -> bool:
        """Tell whether an image is there; a lost connection is not an answer.

        Nova's own is new for each call. Ours may have been shut out since the last
        one, and what Nova does with an image begins with this question.
        """
        try:
            return bool(super().exists(name, pool=pool, snapshot=snapshot))
        except (rbd_utils.rados.Error, rbd_utils.rbd.Error) as error:
            if not _is_lost(error):
                raise
            LOG.warning("The connection was lost, asking over a new one: %s", error)
        return bool(super().exists(name, pool=pool, snapshot=snapshot))

    def get_mon_addrs(
        self,
        strip_brackets: bool = True,  # noqa: FBT001, FBT002  # Nova's
    ) -> tuple[list[str], list[str]]:
        """Return the monitors' hosts and ports, asked for without a process."""
        monmap = self._monmap()
        if monmap is None:
            found: tuple[list[str], list[str]] = super().get_mon_addrs(strip_brackets)
            return found
        addresses = [str(each["addr"]).rpartition("/")[0] for each in monmap["mons"]]
        pairs = [address.rsplit(":", 1) for address in addresses]
        hosts = [host.strip("[]") if strip_brackets else host for host, _ in pairs]
        return hosts, [port for _, port in pairs]

    def _monmap(self) -> Mapping[str, Any] | None:
        try:
            with rbd_utils.RADOSClient(self) as client:
                number, out, said = threads.offload(
                    lambda: client.cluster.mon_command(_MON_DUMP, b"")
                )
        except rbd_utils.rados.Error as error:
            number, out, said = 1, b"", str(error)
        if number:
            LOG.warning("Asking `ceph mon dump` instead of the connection: %s", said)
            return None
        monmap: Mapping[str, Any] = json.loads(out)
        return monmap

    def is_cloneable(
        self, image_location: Mapping[str, Any], image_meta: Mapping[str, Any]
    ) -> bool:
        """Tell whether a disk can be a clone of a location; also of an iso image's.

        Its bytes are taken as they are, like a raw image's. Nova's clone() means to
        allow it, and is refused here after each copy.
        """
        told = dict(image_meta)
        if told.get("disk_format") == "iso":
            told["disk_format"] = "raw"
        return bool(super().is_cloneable(image_location, told))

    def remove_snap(  # Nova's
        self,
        volume: str,
        name: str,
        ignore_errors: bool = False,  # noqa: FBT001, FBT002
        pool: str | None = None,
        force: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Remove a snapshot; where errors are to be ignored, a protected one stays.

        Nova fails with ImageBusy there.
        """
        try:
            super().remove_snap(
                volume, name, ignore_errors=ignore_errors, pool=pool, force=force
            )
        except rbd_utils.rbd.ImageBusy:
            if not ignore_errors:
                raise
            LOG.warning(
                "Snapshot %s of %s is protected or in use: it stays", name, volume
            )


def _key(driver: Any) -> Hashable:
    # The process too: librados does not outlive a fork.
    return (
        os.getpid(),
        rbd_utils.rados.Rados,
        driver.ceph_conf,
        driver.rbd_user,
        driver.rbd_connect_timeout,
    )


def _connect(driver: Any) -> Any:
    client = rbd_utils.rados.Rados(rados_id=driver.rbd_user, conffile=driver.ceph_conf)
    try:
        bound = str(max(1, driver.rbd_connect_timeout))
        client.conf_set("rados_mon_op_timeout", bound)
        client.connect(timeout=driver.rbd_connect_timeout)
    except BaseException:
        client.shutdown()
        raise
    return client


def _answers(client: Any) -> bool:
    """Tell whether the monitors answer over a connection."""
    try:
        number, _out, _said = client.mon_command(_FSID, b"")
    except Exception as error:  # noqa: BLE001  # librados', or a stand-in's
        LOG.debug("A connection that was idle is gone: %s", error)
        return False
    return not number


def _is_lost(error: BaseException | None) -> bool:
    return _number(error) in _LOST


def _number(error: BaseException | None) -> int:
    return abs(int(getattr(error, "errno", 0) or 0))
