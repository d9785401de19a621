"""What a broken copy left in Glance's pool: found, and moved to the RBD trash.

Tried with Ceph 16.2: the trash takes an image with its snapshots, protected ones too,
and gives it back whole. It would also take one that has clones, so these are looked
for; and it waits 30 s for a killed client that still counts as having it open.
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace

from cowpath.core.errors import BusyError, ConflictError, NotFoundError
from cowpath.core.model import Bytes, Image, ImageId, Leftover, Seconds, image_id
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._caps import repair
from cowpath.stores.rbd._lock import Lock
from cowpath.stores.rbd.config import RbdConfig

LOCKS = "cowpath.repair"
"""The object in Glance's pool whose advisory locks Cowpaths respect; it stays."""

_KEPT_DAYS = 7
"""How long `rbd trash purge` leaves alone what was moved there."""

_DAY: Seconds = 86400
_LEAST_HOLD: Seconds = 60


@dataclass(frozen=True, slots=True)
class RbdLeftover(Leftover):
    """A leftover in a pool.

    Attributes:
        rbd_id: The RBD image's internal id; empty where there is a name only.
    """

    rbd_id: str = ""


class Leftovers:
    """The leftovers in the pool that copies arrive in."""

    def __init__(self, config: RbdConfig, cluster: librbd.Cluster) -> None:
        self._config = config
        self._pool = config.images_pools[0]
        self._cluster = cluster
        self._repair = cluster
        if config.repair_user:
            self._repair = librbd.Cluster(replace(config, user=config.repair_user))

    def close(self) -> None:
        """Close the connection that only repairs use."""
        self._repair.close()

    def find(self, image: Image) -> Leftover | None:
        """Return what has the image's name; None if nothing has."""
        name, where = image_id(image.id), self._where(image.id)
        with self._reading(f"look for leftover {where}"):
            with (
                suppress(librbd.ImageNotFound),
                self._cluster.image(self._pool, name) as seen,
            ):
                present, rbd_id = librbd.allocated(seen), librbd.id_of(seen)
                cure = self._cure(where, rbd_id)
                return RbdLeftover(name, where, Bytes(present), cure, rbd_id)
            if not librbd.is_taken(self._cluster.pool(self._pool), name):
                return None
        # Somebody was killed in the first steps of making an image, or we while
        # moving it: a name, perhaps of what is in the trash already.
        return RbdLeftover(name, where, Bytes(0), self._name_cure(where))

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover to the trash; return how to see and restore it."""
        name, where = image_id(leftover.image), self._where(leftover.image)
        if not isinstance(leftover, RbdLeftover) or leftover.where != where:
            raise NotFoundError(
                f"{leftover.where} is not where this site's store has image {name} "
                f"({where}), and is left alone: ask the site whose it is"
            )
        self._move(name, leftover, confirm)
        tool, kept = self._mover, f"{self._pool}/{leftover.rbd_id}"
        if not leftover.rbd_id:
            return (
                f"{where} was a name without an image, and is gone. To see whether an "
                f"image of that name is in the trash: `{tool} trash ls {self._pool}`"
            )
        return (
            f"{where} is kept in the trash of pool {self._pool} as {leftover.rbd_id}, "
            f"for {_KEPT_DAYS} days at least, and nothing was removed. To see it: "
            f"`{tool} trash ls {self._pool}`; to restore it, while no other image has "
            f"its name: `{tool} trash restore {kept}`"
        )

    def _move(
        self, name: ImageId, leftover: RbdLeftover, confirm: Callable[[], None]
    ) -> None:
        doing = f"move leftover {leftover.where} to the trash"
        caps = f"{repair(self._pool)}, best of a user of its own (repair_rbd_user)"
        with self._repair.doing(doing, caps=caps):
            pool = self._repair.pool(self._pool)
            hold = max(_LEAST_HOLD, 2 * self._config.op_timeout)
            lock = Lock(pool, LOCKS, name, hold)
            lock.take()
            try:
                self._check(leftover)
                confirm()
                # Asking Glance takes time, in which somebody may have come.
                lock.take()
                self._check(leftover)
                librbd.trash(pool, name, _KEPT_DAYS * _DAY)
            except librbd.ImageNotFound as error:
                if leftover.rbd_id:
                    raise _gone(leftover) from error
                raise ConflictError(
                    f"{leftover.where} is a name without an image, which the trash "
                    f"does not take: {leftover.cure}"
                ) from error
            except librbd.ImageBusy as error:
                raise self._busy(leftover) from error
            finally:
                lock.leave()

    def _check(self, leftover: RbdLeftover) -> None:
        """Accept what is still there as it was seen, needed and open nowhere."""
        if not leftover.rbd_id:
            self._check_bare(leftover)
            return
        with (
            self._reading(f"look at leftover {leftover.where}"),
            self._found(leftover) as seen,
        ):
            if librbd.id_of(seen) != leftover.rbd_id:
                raise _changed(leftover, "another image has that name now")
            if librbd.watched_by_others(seen, self._cluster.instance()):
                raise self._busy(leftover)
            present = librbd.allocated(seen)
            if present != leftover.present:
                raise _changed(leftover, f"it has {present} bytes now")
            self._check_unneeded(leftover, seen)

    def _check_bare(self, leftover: RbdLeftover) -> None:
        """Accept what is still a name without an image."""
        name = leftover.image
        with self._reading(f"look at leftover {leftover.where}"):
            if not librbd.is_taken(self._cluster.pool(self._pool), name):
                raise _gone(leftover)
            with (
                suppress(librbd.ImageNotFound),
                self._cluster.image(self._pool, name),
            ):
                raise _changed(leftover, "it is an image now")

    @contextmanager
    def _found(self, leftover: Leftover) -> Iterator[librbd.Opened]:
        try:
            with self._cluster.image(self._pool, leftover.image) as seen:
                yield seen
        except librbd.ImageNotFound as error:
            raise _gone(leftover) from error

    def _check_unneeded(self, leftover: RbdLeftover, seen: librbd.Opened) -> None:
        unreadable = None
        try:
            if not librbd.has_clones(seen):
                return
        except librbd.NotAllowed as error:
            unreadable = error
        raise ConflictError(
            f"{leftover.where} is left alone, for it has clones: delete or flatten "
            f"them first. An administrator sees them all: `{self._tool} children "
            f"--descendants {leftover.where}`"
        ) from unreadable

    def _busy(self, leftover: Leftover) -> BusyError:
        return BusyError(
            f"{leftover.where} is left alone, for somebody has it open, perhaps a copy "
            f"that still runs (`{self._tool} status {leftover.where}` lists who). What "
            f"a killed client had open stays so for 30 seconds: try again then"
        )

    def _cure(self, where: str, rbd_id: str) -> str:
        return (
            f"`{self._mover} trash mv {where}`, as a user who may write to pool "
            f"{self._pool} (`{self._mover} trash restore {self._pool}/{rbd_id}` brings "
            f"it back)"
        )

    def _name_cure(self, where: str) -> str:
        return (
            f"`{self._tool} trash mv {where}`, as a user who may write to pool "
            f"{self._pool}, or `{self._tool} rm {where}` where that says that there is "
            f"no such image (it says so too, after it has taken the name away)"
        )

    @property
    def _tool(self) -> str:
        """The command `rbd` for this cluster."""
        conf = self._config.conf
        return shlex.join(["rbd", "-c", conf] if conf else ["rbd"])

    @property
    def _mover(self) -> str:
        """The command `rbd` as the user who may use the trash."""
        user = self._config.repair_user
        return f"{self._tool} --id {shlex.quote(user)}" if user else self._tool

    def _where(self, image: ImageId) -> str:
        return f"{self._pool}/{image}"

    def _reading(self, what: str) -> AbstractContextManager[None]:
        caps = f"mon 'profile rbd' osd 'profile rbd-read-only pool={self._pool}'"
        return self._cluster.doing(what, caps=caps)


def _changed(leftover: Leftover, how: str) -> NotFoundError:
    return NotFoundError(
        f"{leftover.where} is not the leftover that was seen ({how}), and is left "
        f"alone: look again (cowpath image show {leftover.image})"
    )


def _gone(leftover: Leftover) -> NotFoundError:
    return NotFoundError(
        f"{leftover.where} is gone, so there is nothing to set aside: have the image "
        f"copied again (cowpath image place {leftover.image})"
    )
