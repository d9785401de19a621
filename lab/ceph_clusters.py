"""The Ceph clusters of a lab, and what each consists of."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from lab.ceph_cluster import Cluster, Place
from lab.ceph_conf import FIRST_PORT, port_blocks
from lab.ceph_daemons import Daemon, Manager, Monitor, Osd
from lab.ceph_users import IMAGES_POOL, USERS, VMS_POOL
from lab.layout import CLUSTERS, Layout
from lab.services import Step


class Clusters:
    """A cluster at each site of a lab: a monitor, an OSD and a manager."""

    def __init__(
        self,
        layout: Layout,
        first_port: int = FIRST_PORT,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        """Know them; nothing is made yet.

        Args:
            layout: Where the lab lies.
            first_port: Where the blocks of ports of its kind of lab begin.
            places: By a cluster's name, where its daemons run; on this machine's
                loopback address by default.
        """
        elsewhere = places or {}
        self._monitors = {
            cluster: Monitor(cluster)
            for cluster in (
                Cluster(
                    layout.cluster(name),
                    port_blocks(number, len(CLUSTERS), first_port),
                    elsewhere.get(name),
                )
                for number, name in enumerate(CLUSTERS)
            )
        }

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._monitors)

    @property
    def monitors(self) -> Mapping[Cluster, Monitor]:
        """Each cluster's monitor."""
        return self._monitors

    @property
    def daemons(self) -> Sequence[Daemon]:
        """What guests and Glance would miss."""
        return [
            daemon
            for cluster, monitor in self._monitors.items()
            for daemon in (monitor, Osd(cluster, monitor), Manager(cluster, monitor))
        ]

    @property
    def pools(self) -> Sequence[Step]:
        """What makes each cluster's pools."""
        return [
            Step(f"{cluster.name} pools", partial(_make_pools, cluster, monitor))
            for cluster, monitor in self._monitors.items()
        ]

    def describe(self) -> dict[str, dict[str, object]]:
        """Return what lab.json says of them."""
        return {cluster.name: describe_cluster(cluster) for cluster in self}


def _make_pools(cluster: Cluster, monitor: Monitor) -> None:
    # A pool made before there is an OSD takes it five seconds longer.
    Osd(cluster, monitor).wait()
    cluster.ensure_pools()


def describe_cluster(cluster: Cluster) -> dict[str, object]:
    """Return what lab.json says of a cluster."""
    identity = cluster.identity
    paths = {user: cluster.keyring(user) for user in USERS}
    # A cluster of an older checkout does not know all of them.
    keyrings = {user: str(path) for user, path in paths.items() if path.exists()}
    return {
        "fsid": identity.fsid,
        "conf": str(cluster.client_conf),
        "mon_host": identity.monitors,
        "admin_keyring": str(cluster.keyring("admin")),
        "keyrings": keyrings,
        "secret_uuid": identity.secret_uuid,
        "images_pool": IMAGES_POOL,
        "vms_pool": VMS_POOL,
    }
