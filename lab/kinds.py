"""The kinds of lab: which services each has, and what else it makes.

A further kind is a class like `FilesLab` and a line in `KINDS`.
"""

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from lab.ceph_lab import CephLab
from lab.files_lab import FilesLab
from lab.layout import Layout
from lab.openstack_lab import OpenstackLab
from lab.packages import NEEDS, missing
from lab.programs import locate
from lab.services import Service, Step


class Lab(Protocol):
    """One kind of lab."""

    @property
    def layout(self) -> Layout:
        """Where it lies."""

    @property
    def services(self) -> Sequence[Service]:
        """Its daemons, in the order in which people think of them."""

    @property
    def foundations(self) -> Sequence[Service]:
        """Those of them that the others need until they have ended."""

    @property
    def goods(self) -> Sequence[Step]:
        """What else it makes; each waits for the services that it needs."""

    def begin(self) -> None:
        """Decide what all services have to know, before the first is started.

        Raises:
            LabError: This machine cannot have it.
        """

    def publish(self) -> None:
        """Tell clients where everything is."""


KINDS: dict[str, Callable[[], Lab]] = {
    FilesLab.kind: FilesLab,
    CephLab.kind: CephLab,
    OpenstackLab.kind: OpenstackLab,
}


def best() -> str:
    """Return the kind that shows most and that this machine can have.

    Ceph where it is there or can be installed: by root with apt-get.
    """
    can_install = os.geteuid() == 0 and locate("apt-get") is not None
    can_have = can_install or not missing(NEEDS[CephLab.kind])
    return CephLab.kind if can_have else FilesLab.kind
