"""The kind `ceph`: two clusters, one Glance on both."""

import os
from collections.abc import Sequence
from functools import partial

from lab import manifest
from lab.ceph_cluster import Cluster
from lab.ceph_clusters import Clusters
from lab.ceph_secrets import COMPUTE_USER, define_secret
from lab.ceph_users import IMAGES_POOL, VMS_POOL
from lab.fault_proxy_service import FaultProxy
from lab.files import ini
from lab.glance import Glance
from lab.glance_stores import RbdStores
from lab.guest import StandardGuest
from lab.layout import FILES_STORE, Layout, standard
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
        self._clusters = Clusters(layout)
        stores = RbdStores(layout, self._clusters.monitors)
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
        return self._clusters.daemons

    @property
    def services(self) -> Sequence[Service]:
        """The clusters, Glance and libvirtd, the fault proxy."""
        return (*self.foundations, self._glance, self._libvirtd, self._proxy)

    @property
    def goods(self) -> Sequence[Step]:
        """Each cluster's pools and libvirt secret, and the standard guest."""
        secrets = [
            Step(
                f"{cluster.name} secret",
                partial(define_secret, cluster, self._libvirtd),
            )
            for cluster in self._clusters
        ]
        return (*self._clusters.pools, *secrets, Step("guest", self._guest.ensure))

    def begin(self) -> None:
        """Nothing: each service decides for itself."""

    def publish(self) -> None:
        """Write lab.json and what it points to."""
        layout, uri = self._layout, self._libvirtd.uri
        manifest.publish(
            layout,
            url=self._glance.url,
            sites={each.name: site_conf(each, uri) for each in self._clusters},
            facts={
                "glance": self._glance.describe(),
                "proxy": self._proxy.describe(),
                "clusters": self._clusters.describe(),
                "stores": {FILES_STORE: str(layout.store(FILES_STORE))},
                "libvirt_uri": uri,
                "guest": self._guest.describe(),
            },
        )


def _libvirt_mode() -> Mode:
    """Return the compute host's own way, where it can be had."""
    return System() if os.geteuid() == 0 else Session()


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
