"""The kind `openstack`: kind `ceph`, and a cloud with a compute at each site."""

import os
from collections.abc import Sequence
from functools import partial

from lab import keystone, manifest
from lab.ceph_cluster import Cluster
from lab.ceph_clusters import Clusters, describe_cluster
from lab.ceph_secrets import define_secret
from lab.cloud import Cloud
from lab.fault_proxy_service import FaultProxy
from lab.glance import Glance
from lab.glance_stores import RbdStores
from lab.guest import StandardGuest
from lab.keystone import Keystone, Placement
from lab.layout import CLUSTERS, FILES_STORE, Layout, standard
from lab.libvirt_modes import System
from lab.libvirtd import Libvirtd
from lab.mariadb import MariaDb
from lab.neutron import Neutron
from lab.nova import Compute, Controller, Controllers, Needed, NovaApi
from lab.nova_conf import NOVA_USER
from lab.nova_conf import Cloud as Others
from lab.openstack_databases import FLAVORS, Databases, check_root
from lab.openstack_glance import WithKeystone
from lab.port_block import PortBlock
from lab.rabbitmq import RabbitMq
from lab.services import Service, Step
from lab.venv import Venv

# Not those of the other kinds: all may be up.
_FIRST_CEPH_PORT = 15000
_FIRST_PORT = 20000
_PORTS = (
    "mariadb",
    "rabbitmq",
    "rabbitmq-dist",
    "epmd",
    "keystone",
    "placement",
    "glance",
    "nova-api",
    "neutron",
    "proxy",
)


class OpenstackLab:
    """Two Ceph clusters, a cloud with Glance on both, a compute host beside each."""

    kind = "openstack"

    def __init__(self) -> None:
        self._layout = layout = standard(self.kind)
        self._ports = ports = PortBlock(layout.home / "ports", _PORTS, _FIRST_PORT)
        self._venv = venv = Venv(layout.cache, self.kind)
        self._databases = Databases(layout.cache, ports, venv, CLUSTERS)
        self._mariadb = MariaDb(layout.home / "mariadb", ports, self._databases.put)
        self._rabbitmq = RabbitMq(layout.home / "rabbitmq", ports)
        self._keystone = Keystone(layout.home / "keystone", ports, venv, self._mariadb)
        self._placement = Placement(
            layout.home / "placement", ports, venv, self._mariadb
        )
        self._neutron = Neutron(layout.home / "neutron", ports)
        self._cloud = Cloud(ports)
        self._clusters = Clusters(layout, _FIRST_CEPH_PORT)
        self._make_glance()
        self._make_nova()
        self._guests = {
            name: StandardGuest(layout, stay=stay)
            for name, stay in (("guest", False), ("guest_stay", True))
        }

    def _make_glance(self) -> None:
        layout, ports = self._layout, self._ports
        kit = WithKeystone(layout, ports, self._venv, self._mariadb)
        stores = RbdStores(layout, self._clusters.monitors)
        self._glance = Glance(layout, stores, _only(ports.port("glance")), kit)
        self._proxy = FaultProxy(
            layout, self._glance.port_record, _only(ports.port("proxy"))
        )

    def _make_nova(self) -> None:
        home = self._layout.home
        # They ask both who they are when they start.
        others = (self._keystone, self._placement)
        shared = Controllers(self._venv, self._mariadb, self._rabbitmq, others)
        self._nova_api = NovaApi(home / "nova-api", self._ports, shared, self._others)
        self._controllers = _, conductor = [
            Controller(name, home / name, shared, self._others)
            for name in ("nova-scheduler", "nova-conductor")
        ]
        self._libvirtds = {
            cluster: Libvirtd(
                self._layout.libvirt / cluster.name,
                System(cluster.name),
                f"libvirtd-{cluster.name}",
            )
            for cluster in self._clusters
        }
        self._computes = {
            cluster: Compute(
                home / f"compute-{cluster.name}",
                cluster,
                libvirtd,
                self._others,
                Needed(conductor, self._welcome),
                self._venv,
            )
            for cluster, libvirtd in self._libvirtds.items()
        }

    def _welcome(self, site: str) -> None:
        # While everything is coming up, the zones' steps wait for this.
        asked = (self._nova_api, self._keystone, self._placement)
        if all(service.answers() for service in asked):
            self._cloud.wait_for_host(site)

    def _others(self) -> Others:
        return Others(self._rabbitmq.url, self._keystone.auth_url)

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
        """Everything."""
        return (
            *self.foundations,
            self._mariadb,
            self._rabbitmq,
            self._keystone,
            self._placement,
            self._glance,
            self._nova_api,
            *self._controllers,
            self._neutron,
            *self._libvirtds.values(),
            *self._computes.values(),
            self._proxy,
        )

    def begin(self) -> None:
        """Choose the ports, which the services put into each other's files.

        Raises:
            LabError: Not root, or no ports are free.
        """
        check_root(os.geteuid())
        self._ports.ensure()
        self._make_glance()

    def _make_zone(self, cluster: Cluster) -> None:
        self._computes[cluster].wait()
        for service in (self._keystone, self._placement, self._nova_api):
            service.wait()
        self._cloud.ensure_zone(cluster.name)

    @property
    def goods(self) -> Sequence[Step]:
        """What each site has beside its services, and the standard guests."""
        steps = [
            Step(f"{cluster.name} {what}", partial(make, cluster))
            for cluster in self._clusters
            for what, make in (
                ("secret", self._make_secret),
                ("zone", self._make_zone),
            )
        ]
        return (*self._clusters.pools, *steps, Step("guests", self._make_guests))

    def _make_guests(self) -> None:
        for guest in self._guests.values():
            guest.ensure()

    def _make_secret(self, cluster: Cluster) -> None:
        define_secret(cluster, self._libvirtds[cluster], NOVA_USER)

    def publish(self) -> None:
        """Write lab.json and what it points to."""
        sites = {
            cluster.name: {
                **compute.describe(),
                "cluster": describe_cluster(cluster),
            }
            for cluster, compute in self._computes.items()
        }
        clouds = manifest.keystone_clouds(
            self._keystone.auth_url, (keystone.ADMIN, keystone.MEMBER)
        )
        manifest.publish_cloud(
            self._layout,
            clouds,
            {
                "sites": sites,
                "default_store": self._cluster_names[0],
                "stores": {FILES_STORE: str(self._layout.store(FILES_STORE))},
                "glance": {
                    **self._glance.describe(),
                    "stores": [*self._cluster_names, FILES_STORE],
                },
                "proxy": self._proxy.describe(),
                "keystone": {"auth_url": self._keystone.auth_url},
                "nova": {"url": self._nova_api.url},
                "placement": {"url": self._placement.url},
                "database": self._mariadb.describe(),
                "flavors": list(FLAVORS),
                "openstack": self._venv.program("openstack"),
                "python": self._venv.program("python"),
                "logs": {each.name: str(each.log) for each in self.services},
                **{name: each.describe() for name, each in self._guests.items()},
            },
        )

    @property
    def _cluster_names(self) -> list[str]:
        return [cluster.name for cluster in self._clusters]


def _only(port: int) -> range:
    return range(port, port + 1)
