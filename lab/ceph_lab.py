"""The kind `ceph`: two clusters, one Glance on both."""

import os
from collections.abc import Mapping, Sequence
from functools import partial

from lab import manifest
from lab.ceph_cluster import Cluster
from lab.ceph_conf import port_blocks
from lab.ceph_daemons import Manager, Monitor, Osd
from lab.ceph_secrets import COMPUTE_USER, define_secret
from lab.ceph_users import IMAGES_POOL, USERS, VMS_POOL
from lab.fault_proxy_service import FaultProxy
from lab.files import ini
from lab.glance import Glance
from lab.glance_stores import RbdStores
from lab.guest import StandardGuest
from lab.layout import CLUSTERS, FILES_STORE, Layout, standard
from lab.libvirt_modes import Mode, Session, System
from lab.libvirtd import Libvirtd
from lab.services import Service, Step

# Not those of the kind `files`: both may be up.
_GLANCE_PORTS = range(19392, 19492)
_PROXY_PORTS = range(19542, 19592)


class CephLab:
    """Two Ceph clusters, Glance with a store on each, libvirtd with their secrets."""

    kind = "ceph"

    def __init__(self) -> None:
        self._layout = layout = standard(self.kind)
        self._monitors = _monitors(layout)
        stores = RbdStores(layout, self._monitors)
        self._glance = Glance(layout, stores, _GLANCE_PORTS)
        self._proxy = FaultProxy(layout, self._glance.port_record, _PROXY_PORTS)
        self._libvirtd = Libvirtd(layout.libvirt, _libvirt_mode())
        self._guest = StandardGuest(layout)

    @property
    def layout(self) -> Layout:
        """Where it lies."""
        return self._layout

    @property
    def foundations(self) -> Sequence[Service]:
        """The clusters' daemons: what guests and Glance would miss."""
        return [
            daemon
            for cluster, monitor in self._monitors.items()
            for daemon in (
                monitor,
                Osd(cluster, monitor),
                Manager(cluster, monitor),
            )
        ]

    def _make_pools(self, cluster: Cluster) -> None:
        # A pool made before there is an OSD takes it five seconds longer.
        Osd(cluster, self._monitors[cluster]).wait()
        cluster.ensure_pools()

    @property
    def services(self) -> Sequence[Service]:
        """The clusters, Glance and libvirtd, the fault proxy."""
        return (*self.foundations, self._glance, self._libvirtd, self._proxy)

    @property
    def goods(self) -> Sequence[Step]:
        """Each cluster's pools and libvirt secret, and the standard guest."""
        pools = [
            Step(f"{cluster.name} pools", partial(self._make_pools, cluster))
            for cluster in self._monitors
        ]
        secrets = [
            Step(
                f"{cluster.name} secret",
                partial(define_secret, cluster, self._libvirtd),
            )
            for cluster in self._monitors
        ]
        return (*pools, *secrets, Step("guest", self._guest.ensure))

    def begin(self) -> None:
        """Nothing: each service decides for itself."""

    def publish(self) -> None:
        """Write lab.json and what it points to."""
        layout, uri = self._layout, self._libvirtd.uri
        manifest.publish(
            layout,
            url=self._glance.url,
            sites={each.name: site_conf(each, uri) for each in self._monitors},
            facts={
                "glance": self._glance.describe(),
                "proxy": self._proxy.describe(),
                "clusters": {
                    each.name: describe_cluster(each) for each in self._monitors
                },
                "stores": {FILES_STORE: str(layout.store(FILES_STORE))},
                "libvirt_uri": uri,
                "guest": self._guest.describe(),
            },
        )


def _libvirt_mode() -> Mode:
    """Return the compute host's own way, where it can be had."""
    return System() if os.geteuid() == 0 else Session()


def _monitors(layout: Layout) -> Mapping[Cluster, Monitor]:
    blocks = (port_blocks(which, len(CLUSTERS)) for which in range(len(CLUSTERS)))
    clusters = map(Cluster, map(layout.cluster, CLUSTERS), blocks)
    return {cluster: Monitor(cluster) for cluster in clusters}


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


def site_conf(cluster: Cluster, libvirt_uri: str) -> str:
    """Return what a compute host beside a cluster would have in its configuration."""
    return ini(
        {
            "libvirt": {
                "images_type": "rbd",
                "images_rbd_pool": VMS_POOL,
                "images_rbd_ceph_conf": str(cluster.client_conf),
                "rbd_user": COMPUTE_USER,
                "rbd_secret_uuid": cluster.identity.secret_uuid,
                **manifest.compute_host(cluster.name, libvirt_uri),
            },
            "cowpath": {"store_kind": "rbd", "images_pool": IMAGES_POOL},
        }
    )
