"""What a cluster says of a pool: what it takes, and what keeps it from that; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cowpath.core.model import Bytes

_CLUSTER = frozenset(
    {
        # Nobody, or too few, take what is written.
        "OSD_UNREACHABLE",
        "PG_AVAILABILITY",
        # They take nothing, or soon nothing, more.
        "OSD_FULL",
        "OSD_BACKFILLFULL",
        "OSD_NEARFULL",
        "OSD_OUT_OF_ORDER_FULL",
        # They take it late, or each other's word does.
        "SLOW_OPS",
        "OSD_SLOW_PING_TIME_BACK",
        "OSD_SLOW_PING_TIME_FRONT",
        "BLUESTORE_SLOW_OP_ALERT",
        "BLUESTORE_STALLED_READ_ALERT",
    }
)
"""Health checks that concern every pool, with OSD_DOWN and OSD_*_DOWN: there is one
for every type of bucket that a CRUSH map has.

Left out is what a pool takes bytes under: lost redundancy (PG_DEGRADED), monitors and
managers (MON_*, MGR_*), damage of what is stored, scrubs that are late, advice.
"""

_POOL = frozenset(
    {
        "POOL_FULL",
        "POOL_BACKFILLFULL",
        # Two: of the OSDs' ratio, and of the pool's own quota.
        "POOL_NEARFULL",
        "POOL_NEAR_FULL",
    }
)
"""Those that concern the pools which their details name."""

_FLAGS = "OSDMAP_FLAGS"
_STOPPING = frozenset({"full", "pausewr"})
"""Flags of the cluster that stop writing; its others, such as noout, do not."""

_POOL_FULL = frozenset({"full", "full_quota"})


def ailments(health: Mapping[str, Any], pool: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what keeps a pool from taking bytes, in the cluster's words.

    Args:
        health: What `ceph health detail` says.
        pool: What `ceph osd pool ls detail` says of the pool.
    """
    found = [
        f"{code}: {words}"
        for code, check in sorted(health.get("checks", {}).items())
        for words in _relevant(code, check, str(pool["pool_name"]))
    ]
    # The health tells of it later than the flags, by seconds.
    if is_full(pool) and not any(each.startswith("POOL_FULL") for each in found):
        flags = " and ".join(sorted(_flags(pool) & _POOL_FULL))
        found.append(f"pool {pool['pool_name']} has flags {flags}")
    return tuple(found)


def is_full(pool: Mapping[str, Any]) -> bool:
    """Tell whether the cluster refuses to write to a pool.

    Args:
        pool: What `ceph osd pool ls detail` says of it.
    """
    return bool(_flags(pool) & _POOL_FULL)


def free(stats: Mapping[str, Any], pool: Mapping[str, Any]) -> Bytes:
    """Return how many bytes a pool still takes.

    Args:
        stats: What `ceph df` says of it.
        pool: What `ceph osd pool ls detail` says of it.
    """
    most = int(pool["quota_max_objects"])
    if is_full(pool) or (most and int(stats["objects"]) >= most):
        return Bytes(0)
    room, quota = int(stats["max_avail"]), int(pool["quota_max_bytes"])
    left = max(0, quota - int(stats["stored"])) if quota else room
    return Bytes(min(room, left))


def _flags(pool: Mapping[str, Any]) -> set[str]:
    return {*str(pool.get("flags_names", "")).split(",")}


def _is_down(code: str) -> bool:
    return code.startswith("OSD_") and code.endswith("_DOWN")


def _relevant(code: str, check: Mapping[str, Any], pool: str) -> Iterator[str]:
    summary = str(check.get("summary", {}).get("message", ""))
    stops = {*summary.partition(" ")[0].split(",")} & _STOPPING
    if code in _CLUSTER or _is_down(code) or (code == _FLAGS and stops):
        yield summary
    elif code in _POOL:
        told = (str(each.get("message", "")) for each in check.get("detail", ()))
        yield from (each for each in told if f"'{pool}'" in each)
