"""The kinds of lab: which services each has, and what else it makes.

A further kind is a class beside `FilesLab` and a line in `KINDS`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from lab import manifest
from lab.errors import LabError
from lab.glance import Glance
from lab.guest import MARKER, StandardGuest
from lab.layout import Layout, standard
from lab.libvirtd import Libvirtd
from lab.services import Service, Step


class Lab(Protocol):
    """One kind of lab."""

    @property
    def layout(self) -> Layout:
        """Where it lies."""

    @property
    def services(self) -> Sequence[Service]:
        """Its daemons, in the order in which they start."""

    @property
    def goods(self) -> Sequence[Step]:
        """What else it makes; independent of the services."""

    def publish(self) -> None:
        """Tell clients where everything is."""


class FilesLab:
    """Glance with file stores and a session libvirtd: any machine, no root."""

    kind = "files"

    def __init__(self) -> None:
        self._layout = standard(self.kind)
        self._glance = Glance(self._layout)
        self._libvirtd = Libvirtd(self._layout)
        self._guest = StandardGuest(self._layout)

    @property
    def layout(self) -> Layout:
        """Where it lies."""
        return self._layout

    @property
    def services(self) -> Sequence[Service]:
        """Glance and libvirtd."""
        return (self._glance, self._libvirtd)

    @property
    def goods(self) -> Sequence[Step]:
        """The standard guest."""
        return (Step("guest", self._guest.ensure),)

    def publish(self) -> None:
        """Write lab.json and what it points to."""
        manifest.publish(
            self._layout,
            glance={
                "url": self._glance.url,
                "log": str(self._glance.log),
                "access_log": str(self._glance.access_log),
                "config_dir": str(self._glance.config_dir),
                "database": str(self._glance.database),
            },
            libvirt_uri=self._libvirtd.uri,
            guest=self._describe_guest(),
        )

    def _describe_guest(self) -> dict[str, object]:
        guest = self._guest.known()
        if guest is None:
            raise LabError("The standard guest vanished while the lab came up.")
        return {
            "raw": guest.path,
            "qcow2": str(self._guest.qcow2),
            "uuid": guest.uuid,
            "data_md5": guest.data_md5,
            "size_bytes": guest.size_bytes,
            "marker": MARKER,
        }


KINDS: dict[str, Callable[[], Lab]] = {FilesLab.kind: FilesLab}
