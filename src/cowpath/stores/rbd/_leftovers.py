"""What a broken copy left in Glance's pool: found, and moved to the RBD trash.

Tried with Ceph 16.2: the trash takes an image with its snapshots, protected ones too,
and gives it back whole. It would also take one that has clones, so these are looked
for; it would also take one that a client writes to, so that watches are looked for,
which a killed client has for 30 s.
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace

from cowpath.core.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
)
from cowpath.core.model import Bytes, Image, ImageId, Leftover, Seconds, image_id
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._caps import repair
from cowpath.stores.rbd._lock import Lock
from cowpath.stores.rbd._room import intake
from cowpath.stores.rbd.config import RbdConfig

LOCKS = "cowpath.repair"
"""The object in Glance's pool whose advisory locks Cowpaths respect; it stays."""

_KEPT_DAYS = 7
"""How long `rbd trash purge` leaves alone what was moved there."""

_DAY: Seconds = 86400


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
        with self._moving(leftover):
            self._opened(leftover)
        self._check(leftover)
        # Without the lock: Glance may answer late, and a kill meanwhile is no matter.
        confirm()
        self._move(name, leftover)
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

    def _move(self, name: ImageId, leftover: RbdLeftover) -> None:
        try:
            with self._moving(leftover):
                self._move_locked(self._opened(leftover), name, leftover)
        except NoSpaceError as error:
            raise self._full(leftover, error) from error

    def _move_locked(
        self, pool: librbd.Pool, name: ImageId, leftover: RbdLeftover
    ) -> None:
        # It ends later than any operation of a call that was killed is given up.
        lock = Lock(pool, LOCKS, name, self._config.surely_over)
        lock.take()
        try:
            self._check(leftover)
            # By its name it might be a new image by now, had somebody else moved it.
            lock.renew()
            librbd.trash(pool, name, _KEPT_DAYS * _DAY)
        except librbd.ImageNotFound as error:
            if leftover.rbd_id:
                raise _gone(leftover) from error
            raise ConflictError(
                f"{leftover.where} is a name without an image, which the trash does "
                f"not take: {leftover.cure}"
            ) from error
        except librbd.ImageBusy as error:
            raise self._busy(leftover) from error
        finally:
            lock.leave()

    def _moving(self, leftover: Leftover) -> AbstractContextManager[None]:
        doing = f"move leftover {leftover.where} to the trash"
        caps = f"{repair(self._pool)}, best of a user of its own (repair_rbd_user)"
        return self._repair.doing(doing, caps=caps)

    def _full(self, leftover: Leftover, error: NoSpaceError) -> NoSpaceError:
        """Return what to do where the pool does not even take a line in its trash."""
        told: tuple[str, ...] = ()
        with suppress(CowpathError):
            told = intake(self._cluster, self._config).ailments
        why = "; ".join(told) or str(error)
        return NoSpaceError(
            f"{leftover.where} stays where it is, for pool {self._pool} takes nothing "
            f"more, not even the trash's note of an image ({why}): raise the pool's "
            f"quota (`ceph osd pool set-quota {self._pool} max_bytes|max_objects N`), "
            f"or where the cluster itself is full, add OSDs or for a moment raise its "
            f"ratio (`ceph osd set-full-ratio`), or delete images in Glance that "
            f"nobody needs, then try again"
        )

    def _opened(self, leftover: RbdLeftover) -> librbd.Pool:
        """Return the pool as the user of repairs has it."""
        try:
            return self._repair.pool(self._pool)
        except (ForbiddenError, ConfigError) as error:
            user = self._config.repair_user
            if not user:
                raise
            # The rest of the site works with another user: say which one this is.
            raise type(error)(
                f"{leftover.where} is left alone: {error}. [cowpath] repair_rbd_user "
                f"is {user}"
            ) from error

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
            self._check_alone(leftover)

    def _check_alone(self, leftover: RbdLeftover) -> None:
        """Accept a leftover of an image of which none is in the trash yet.

        What has clones there is none: Glance moves there what it deletes under disks.
        """
        pool, tool = self._cluster.pool(self._pool), self._tool
        for rbd_id in librbd.trashed(pool, leftover.image):
            # A killed call has moved this very one there, and not yet its name.
            if rbd_id == leftover.rbd_id or librbd.trashed_has_clones(pool, rbd_id):
                continue
            kept = f"{self._pool}/{rbd_id}"
            raise ConflictError(
                f"{leftover.where} is left alone, for one of the same name is in the "
                f"trash of pool {self._pool} already, as {rbd_id}, and more of them "
                f"would fill the pool: see why copies of the image break (Glance's "
                f"log), then remove that one as a user who may delete images "
                f"(`{tool} trash rm --force {kept}`; one with snapshots has to be "
                f"restored and lose them first) and try again; or restore it under "
                f"another name: `{self._mover} trash restore --image NAME {kept}`"
            )

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
        refusal = ConflictError(
            f"{leftover.where} is left alone, for it has clones: delete or flatten "
            f"them first. An administrator sees them all: `{self._tool} children "
            f"--descendants {leftover.where}`"
        )
        librbd.check_unneeded(seen, refusal)

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
