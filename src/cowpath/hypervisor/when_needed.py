"""libvirt, imported when the first guest is started.

Making disks and printing their XML needs no libvirt-python, which has no wheels and
is therefore not on every host.
"""

import sys
import threading
from collections.abc import Iterator
from importlib import import_module

from cowpath.core.errors import ConfigError
from cowpath.core.model import Disk, Guest
from cowpath.core.ports import Hypervisor
from cowpath.hypervisor import xml
from cowpath.hypervisor.config import LibvirtConfig


class WhenNeeded:
    """Implements `core.ports.Hypervisor`; hands on to `LibvirtHypervisor`."""

    def __init__(self, config: LibvirtConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._made: Hypervisor | None = None

    def disk_xml(self, disk: Disk) -> str:
        """Return libvirt's `<disk>` element of `disk`; asks nobody."""
        return xml.disk_xml(disk, self._config.disks)

    def check_name(self, name: str) -> None:
        """Accept a name that no domain has yet."""
        self._libvirt().check_name(name)

    def start(self, guest: Guest) -> None:
        """Define a domain and start it paused; all or nothing."""
        self._libvirt().start(guest)

    def resume(self, name: str) -> None:
        """Let a paused domain run."""
        self._libvirt().resume(name)

    def console(self, name: str) -> Iterator[bytes]:
        """Attach to the domain's serial console; yield what it writes."""
        return self._libvirt().console(name)

    def discard(self, name: str) -> None:
        """Stop and undefine the domain; absent is fine."""
        self._libvirt().discard(name)

    def _libvirt(self) -> Hypervisor:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Hypervisor:
        try:
            module = import_module("cowpath.hypervisor.domain")
        except ImportError as error:
            raise ConfigError(
                f"guests need libvirt's Python binding, which {sys.executable} does "
                f"not find ({error}): install your distribution's python3-libvirt and "
                f"let the environment see system packages, or pip install "
                f"'cowpath[libvirt]' where libvirt's headers are"
            ) from error
        made: Hypervisor = module.LibvirtHypervisor(self._config)
        return made
