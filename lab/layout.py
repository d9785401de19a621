"""Where everything lies below `lab/run/`."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_STORE = "central"
# Three sites, and a name that another site's name begins with.
SITES = (DEFAULT_STORE, "edge1", "edge2", "edge10")
# The kind `ceph` has a cluster at each of two sites, and a file store beside them.
CLUSTERS = (DEFAULT_STORE, "edge")
FILES_STORE = "files"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one kind of lab.

    Attributes:
        run: The folder below which the lab makes everything.
        kind: Which lab.
    """

    run: Path
    kind: str

    @property
    def cache(self) -> Path:
        """What a wipe keeps: it is costly to make and the same every time."""
        return self.run / "cache"

    @property
    def home(self) -> Path:
        """What a wipe removes."""
        return self.run / self.kind

    @property
    def glance(self) -> Path:
        """Glance's configuration, database and logs."""
        return self.home / "glance"

    @property
    def proxy(self) -> Path:
        """The fault proxy's port and log."""
        return self.home / "proxy"

    @property
    def libvirt(self) -> Path:
        """The configuration, sockets, state and logs of libvirtd."""
        return self.home / "libvirt"

    @property
    def guest(self) -> Path:
        """The standard guest images."""
        return self.home / "guest"

    @property
    def manifest(self) -> Path:
        """What tells a client where everything is."""
        return self.home / "lab.json"

    @property
    def clouds_yaml(self) -> Path:
        """Credentials, as every OpenStack client reads them."""
        return self.home / "clouds.yaml"

    @property
    def lock(self) -> Path:
        """Held by whoever changes this kind of lab."""
        return self.run / f"{self.kind}.lock"

    def bench(self, name: str) -> "Layout":
        """Return the layout of what a benchmark starts beside this lab."""
        return Layout(self.run, f"bench-{self.kind}-{name}")

    @property
    def benches(self) -> "list[Layout]":
        """Those that are there."""
        paths = self.run.glob(f"bench-{self.kind}-*")
        return [Layout(self.run, path.name) for path in paths]

    def cluster(self, name: str) -> Path:
        """Return the folder of a Ceph cluster."""
        return self.home / "clusters" / name

    def store(self, site: str) -> Path:
        """Return the folder of a site's Glance store."""
        return self.home / "sites" / site / "store"

    def disks(self, site: str) -> Path:
        """Return the folder of a site's VM disks: same file system as its store."""
        return self.home / "sites" / site / "disks"

    def site_conf(self, site: str) -> Path:
        """Return the configuration file of a compute host at a site."""
        return self.home / "sites" / site / "site.conf"


def standard(kind: str) -> Layout:
    """Return the layout beside this package."""
    return Layout(Path(__file__).resolve().parent / "run", kind)
