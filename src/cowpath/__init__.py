"""Boot any Glance image at any site as a copy-on-write clone.

from cowpath import open_site

site = open_site(["/etc/nova/nova.conf"])
disk = site.create_disk("debian-13", "vm1", size="20G")
print(site.disk_xml(disk))
"""

from cowpath.config import Config, load
from cowpath.core.errors import (
    AmbiguousError,
    BusyError,
    ConfigError,
    ConflictError,
    CopyAbandonedError,
    CopyBusyError,
    CopyError,
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    CredentialsError,
    ForbiddenError,
    HypervisorError,
    LeftoverError,
    NoSpaceError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import Base, Disk, Image
from cowpath.core.ports import Observer
from cowpath.site import Site
from cowpath.wiring import build, open_site

__version__ = "0.1.0"

__all__ = [
    "AmbiguousError",
    "Base",
    "BusyError",
    "Config",
    "ConfigError",
    "ConflictError",
    "CopyAbandonedError",
    "CopyBusyError",
    "CopyError",
    "CopyFailedError",
    "CopyStalledError",
    "CopyTimeoutError",
    "CowpathError",
    "CredentialsError",
    "Disk",
    "ForbiddenError",
    "HypervisorError",
    "Image",
    "LeftoverError",
    "NoSpaceError",
    "NotFoundError",
    "Observer",
    "QuotaError",
    "Site",
    "UnavailableError",
    "UnsuitableError",
    "UntrustedError",
    "UsageError",
    "build",
    "load",
    "open_site",
]
