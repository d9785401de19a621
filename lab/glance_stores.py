"""What Glance keeps its images in, by kind of lab."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab import bindings
from lab.ceph_cluster import Cluster
from lab.ceph_daemons import Monitor
from lab.ceph_users import IMAGES_POOL
from lab.layout import FILES_STORE, SITES, Layout

DATADIR = "filesystem_store_datadir"


@dataclass(frozen=True, slots=True)
class Backend:
    """One of Glance's stores.

    Attributes:
        name: Its id.
        kind: Glance's name for the driver.
        options: The driver's options.
    """

    name: str
    kind: str
    options: Mapping[str, str]


class Stores(Protocol):
    """The stores of one Glance."""

    @property
    def backends(self) -> Sequence[Backend]:
        """Each store, in the order of `enabled_backends`."""

    @property
    def folders(self) -> Sequence[Path]:
        """Folders that have to be there."""

    @property
    def python_path(self) -> Sequence[Path]:
        """Where Glance finds what its drivers import, beside its own environment."""

    def ensure(self) -> None:
        """Make what they need; return when Glance can start on them."""


class FileStores:
    """A folder for each site, and one beside it for the site's disks."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def backends(self) -> Sequence[Backend]:
        """A file store for each site."""
        return [
            Backend(site, "file", {DATADIR: str(self._layout.store(site))})
            for site in SITES
        ]

    @property
    def folders(self) -> Sequence[Path]:
        """All stores' and all disks' folders."""
        stores = [self._layout.store(site) for site in SITES]
        return [*stores, *(self._layout.disks(site) for site in SITES)]

    @property
    def python_path(self) -> Sequence[Path]:
        """The file driver needs nothing."""
        return ()

    def ensure(self) -> None:
        """Glance makes its folders itself."""


class RbdStores:
    """A pool on each cluster, and a file store."""

    def __init__(self, layout: Layout, clusters: Mapping[Cluster, Monitor]) -> None:
        self._clusters = clusters
        self._files = layout.store(FILES_STORE)
        self._bindings = layout.glance / "bindings"

    @property
    def backends(self) -> Sequence[Backend]:
        """A store for each cluster, then the files."""
        pools = [Backend(each.name, "rbd", _rbd(each)) for each in self._clusters]
        return [*pools, Backend(FILES_STORE, "file", {DATADIR: str(self._files)})]

    @property
    def folders(self) -> Sequence[Path]:
        """The file store's."""
        return [self._files]

    @property
    def python_path(self) -> Sequence[Path]:
        """Where Ceph's bindings are, and nothing else of the machine's Python."""
        return [self._bindings]

    def ensure(self) -> None:
        """Bring the bindings, and wait for the clusters: Glance asks for their fsid."""
        bindings.link(self._bindings, bindings.CEPH)
        for monitor in self._clusters.values():
            monitor.wait()


def _rbd(cluster: Cluster) -> dict[str, str]:
    return {
        "rbd_store_ceph_conf": str(cluster.glance_conf),
        "rbd_store_user": "glance",
        "rbd_store_pool": IMAGES_POOL,
    }
