"""What room Glance's pool has, and what keeps it from taking bytes."""

from collections.abc import Mapping
from typing import Any

from cowpath.core.errors import ConfigError, UnavailableError
from cowpath.core.model import Bytes, Capacity, Intake
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._health import ailments, free
from cowpath.stores.rbd.config import RbdConfig

_DIRECTORY = "rbd_directory"
"""The object that an OSD is asked for; every pool with images has it."""


def capacity(cluster: librbd.Cluster, pool: str) -> Capacity:
    """Return the room for data of a pool, replicas counted once."""
    stats = _stats(cluster, pool)
    free, stored = stats["max_avail"], stats["stored"]
    return Capacity(Bytes(free + stored), Bytes(free))


def intake(cluster: librbd.Cluster, config: RbdConfig) -> Intake:
    """Return what the pool that copies arrive in takes."""
    name = config.images_pools[0]
    pool = _pool(cluster, name)
    found = ailments(cluster.ask_monitors("health", detail="detail"), pool)
    # For minutes the monitors do not know of an OSD that hangs.
    if not found and not _answers(cluster, config):
        bound = config.op_timeout
        found = (f"an OSD of pool {name} did not answer within {bound:g} s",)
    return Intake(free(_stats(cluster, name), pool), found)


def _answers(cluster: librbd.Cluster, config: RbdConfig) -> bool:
    pool = config.images_pools[0]
    caps = f"mon 'profile rbd' osd 'profile rbd-read-only pool={pool}'"
    try:
        with cluster.doing(f"look at pool {pool}", caps=caps):
            librbd.touch(cluster.pool(pool), _DIRECTORY)
    except UnavailableError:
        return False
    return True


def _pool(cluster: librbd.Cluster, name: str) -> Mapping[str, Any]:
    pools: Any = cluster.ask_monitors("osd pool ls", detail="detail")
    for pool in pools:
        if pool["pool_name"] == name:
            found: Mapping[str, Any] = pool
            return found
    raise ConfigError(f"there is no pool {name} in the cluster ({cluster.name})")


def _stats(cluster: librbd.Cluster, name: str) -> Mapping[str, Any]:
    told = cluster.ask_monitors("df")
    # Zeros, where no manager has told the monitors since they were started.
    if told.get("stats", {}).get("total_bytes"):
        for pool in told.get("pools", ()):
            if pool["name"] == name:
                stats: Mapping[str, Any] = pool["stats"]
                return stats
    raise UnavailableError(
        f"the cluster tells no figures of pool {name} ({cluster.name}): is its manager "
        f"(ceph-mgr) running?"
    )
