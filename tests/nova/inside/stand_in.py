"""This site's store as Cowpath sees it, over the cluster that Nova's driver sees.

`RbdStore` has tests of its own, on a real cluster; here both sides of the door must
see one truth, and nothing else.
"""

from collections.abc import Callable

from cowpath.core.errors import UnavailableError
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    Capacity,
    Image,
    Intake,
    Leftover,
)
from cowpath.core.rules import choose_location
from cowpath.stores.rbd.config import RbdConfig
from tests.nova.inside.cluster import SNAP, Cluster, Volume

_ROOM = Bytes(2**50)


class StandIn:
    """The bases in a cluster. Implements what of `core.ports.Store` the door needs."""

    def __init__(self, config: RbdConfig, cluster: Cluster) -> None:
        self._config = config
        self._cluster = cluster
        self.silent = False

    @property
    def territory(self) -> str:
        return f"pool {self._pool} of cluster {self._cluster.fsid}"

    def find_base(self, image: Image) -> Base | None:
        where = f"{self._pool}/{image.id}/{SNAP}"
        ours = f"rbd://{self._cluster.fsid}/{where}"
        choose_location(image, self._config.store, lambda at: at.url == ours or None)
        found = self._find(image)
        if found is None or SNAP not in found.snaps or found.size != image.size:
            return None
        return Base(image.id, f"{self._pool}/{image.id}@{SNAP}", Bytes(found.size))

    def arrival(self, image: Image) -> Arrival | None:
        found = self._find(image)
        if found is None:
            return None
        return Arrival(Bytes(found.written), whole=SNAP in found.snaps)

    def leftover(self, image: Image) -> Leftover | None:
        found = self._find(image)
        if found is None:
            return None
        where = f"{self._pool}/{image.id}"
        return Leftover(image.id, where, Bytes(found.written), f"rbd trash mv {where}")

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        raise AssertionError(f"nobody allowed that: {leftover}, {confirm}")

    def capacity(self) -> Capacity:
        return Capacity(total=_ROOM, free=_ROOM)

    def intake(self) -> Intake:
        return Intake(_ROOM)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    @property
    def _pool(self) -> str:
        return self._config.images_pools[0]

    def _find(self, image: Image) -> Volume | None:
        if self.silent:
            raise UnavailableError("the cluster does not answer")
        return self._cluster.pools[self._pool].get(image.id)
