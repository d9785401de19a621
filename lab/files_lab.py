"""The kind `files`: any machine, no root."""

from collections.abc import Sequence

from lab import manifest
from lab.fault_proxy_service import FaultProxy
from lab.files import ini
from lab.glance import Glance
from lab.glance_stores import FileStores
from lab.guest import StandardGuest
from lab.layout import SITES, Layout, standard
from lab.libvirt_modes import Session
from lab.libvirtd import Libvirtd
from lab.services import Service, Step

# Below the ports that the kernel gives to outgoing connections.
_GLANCE_PORTS = range(19292, 19392)
_PROXY_PORTS = range(19492, 19542)


class FilesLab:
    """Glance with file stores and a session libvirtd."""

    kind = "files"

    def __init__(self) -> None:
        self._layout = standard(self.kind)
        self._glance = Glance(self._layout, FileStores(self._layout), _GLANCE_PORTS)
        self._proxy = FaultProxy(self._layout, self._glance.port_record, _PROXY_PORTS)
        self._libvirtd = Libvirtd(self._layout.libvirt, Session())
        self._guest = StandardGuest(self._layout)

    @property
    def layout(self) -> Layout:
        """Where it lies."""
        return self._layout

    @property
    def foundations(self) -> Sequence[Service]:
        """None: its stores are folders."""
        return ()

    @property
    def services(self) -> Sequence[Service]:
        """Glance and libvirtd, the fault proxy."""
        return (self._glance, self._libvirtd, self._proxy)

    @property
    def goods(self) -> Sequence[Step]:
        """The standard guest."""
        return (Step("guest", self._guest.ensure),)

    def begin(self) -> None:
        """Nothing: each service decides for itself."""

    def publish(self) -> None:
        """Write lab.json and what it points to."""
        layout, uri = self._layout, self._libvirtd.uri
        manifest.publish(
            layout,
            url=self._glance.url,
            sites={site: site_conf(layout, site, uri) for site in SITES},
            facts={
                "glance": self._glance.describe(),
                "proxy": self._proxy.describe(),
                "stores": {site: str(layout.store(site)) for site in SITES},
                "disks": {site: str(layout.disks(site)) for site in SITES},
                "libvirt_uri": uri,
                "guest": self._guest.describe(),
            },
        )


def site_conf(layout: Layout, site: str, libvirt_uri: str) -> str:
    """Return what a compute host at a site would have in its configuration."""
    return ini(
        {
            "libvirt": manifest.compute_host(site, libvirt_uri),
            "cowpath": {
                "store_kind": "file",
                "images_dir": str(layout.store(site)),
                "disks_dir": str(layout.disks(site)),
            },
        }
    )
