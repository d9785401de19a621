"""What lies in the pools of a cluster, before a test and after it."""

from contextlib import suppress

import rbd

from tests.lab.ceph.cluster import Ceph

_VMS = "vms"


def names(ceph: Ceph, pool: str) -> dict[str, list[str]]:
    """Return a pool's images; Nova's too, whose snapshots are gone before they are."""
    return {name: _snapshots(ceph, pool, name) for name in ceph.names(pool)}


def _snapshots(ceph: Ceph, pool: str, name: str) -> list[str]:
    if pool == _VMS:
        return []
    with suppress(rbd.ImageNotFound), ceph.opened(pool, name) as image:
        return [each["name"] for each in image.list_snaps()]
    return ["gone"]


def trash(ceph: Ceph, pool: str) -> dict[str, list[str]]:
    """Return what is in a pool's trash, in the same form."""
    with ceph.pool(pool) as opened:
        thrown = [each["name"] for each in rbd.RBD().trash_list(opened)]
    return {f"trash: {name}": [] for name in thrown}
