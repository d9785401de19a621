"""What the hypervisor adapter must be told."""

from dataclasses import dataclass, field

DEFAULT_URI = "qemu:///system"
"""Where an operator's guests run."""


@dataclass(frozen=True, slots=True)
class DiskOptions:
    """How disks are attached.

    Attributes:
        cache: QEMU's cache mode; None: the hypervisor's default.
        discard: `unmap` or `ignore` (Nova's `hw_disk_discard`); None: its default.
    """

    cache: str | None = None
    discard: str | None = None


@dataclass(frozen=True, slots=True)
class LibvirtConfig:
    """How guests are run.

    Attributes:
        uri: libvirt's connection URI, such as `qemu:///system`.
        virt_type: `kvm` or `qemu`.
        disks: How disks are attached.
    """

    uri: str = DEFAULT_URI
    virt_type: str = "kvm"
    disks: DiskOptions = field(default_factory=DiskOptions)
