"""Disk -> libvirt's `<disk>`, Guest -> a small `<domain>`; pure.

Formats of libvirt 8 and later: https://libvirt.org/formatdomain.html. The image
format and the whole backing chain are always written out, so that neither libvirt
nor QEMU ever probes bytes that a guest or a tenant wrote.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from cowpath.core.model import Disk, FileSource, Guest, RbdSource
from cowpath.hypervisor.config import DiskOptions

NAMESPACE = "urn:cowpath:guest:1"
"""XML namespace of our facts in a domain's `<metadata>`."""


def disk_xml(disk: Disk, options: DiskOptions) -> str:
    """Return the `<disk>` element of `disk` as text, target vda on bus virtio."""
    element = _disk(disk, options)
    indent(element)
    return tostring(element, encoding="unicode")


def domain_xml(guest: Guest, options: DiskOptions, *, virt_type: str) -> str:
    """Return a `<domain>` with one disk and a serial console.

    Args:
        guest: What to run.
        options: How its disk is attached.
        virt_type: `kvm` or `qemu` (Nova's `virt_type`).
    """
    domain = Element("domain", {"type": virt_type})
    SubElement(domain, "name").text = guest.name
    facts = SubElement(SubElement(domain, "metadata"), f"{{{NAMESPACE}}}guest")
    for key, value in sorted(guest.labels.items()):
        SubElement(facts, f"{{{NAMESPACE}}}{key}").text = value
    SubElement(domain, "memory", {"unit": "b"}).text = str(guest.memory)
    SubElement(domain, "vcpu").text = str(guest.vcpus)
    system = SubElement(domain, "os")
    SubElement(system, "type").text = "hvm"
    SubElement(system, "boot", {"dev": "hd"})
    SubElement(SubElement(domain, "features"), "acpi")
    SubElement(domain, "on_poweroff").text = "destroy"
    SubElement(domain, "on_reboot").text = "restart"
    SubElement(domain, "on_crash").text = "destroy"
    _devices(domain, guest, options)
    indent(domain)
    return tostring(domain, encoding="unicode")


def _devices(domain: Element, guest: Guest, options: DiskOptions) -> None:
    devices = SubElement(domain, "devices")
    devices.append(_disk(guest.disk, options))
    serial = SubElement(devices, "serial", {"type": "pty"})
    SubElement(serial, "target", {"port": "0"})
    console = SubElement(devices, "console", {"type": "pty"})
    SubElement(console, "target", {"type": "serial", "port": "0"})


def _disk(disk: Disk, options: DiskOptions) -> Element:
    match disk.source:
        case FileSource():
            element = _file_disk(disk.source, options)
        case RbdSource():
            element = _rbd_disk(disk.source, options)
    SubElement(element, "target", {"dev": "vda", "bus": "virtio"})
    return element


def _file_disk(source: FileSource, options: DiskOptions) -> Element:
    element = Element("disk", {"type": "file", "device": "disk"})
    _driver(element, source.format, options)
    SubElement(element, "source", {"file": source.path})
    chain = element
    if source.backing:
        chain = SubElement(element, "backingStore", {"type": "file"})
        SubElement(chain, "format", {"type": "raw"})
        base = SubElement(chain, "source", {"file": source.backing})
        # A system libvirtd gives the files of a guest to QEMU's user. The base is
        # Glance's own file by another name (a hard link): it must stay Glance's.
        SubElement(base, "seclabel", {"model": "dac", "relabel": "no"})
    SubElement(chain, "backingStore")
    return element


def _rbd_disk(source: RbdSource, options: DiskOptions) -> Element:
    element = Element("disk", {"type": "network", "device": "disk"})
    _driver(element, "raw", options)
    if source.user and source.secret:
        auth = SubElement(element, "auth", {"username": source.user})
        SubElement(auth, "secret", {"type": "ceph", "uuid": source.secret})
    name = f"{source.pool}/{source.image}"
    place = SubElement(element, "source", {"protocol": "rbd", "name": name})
    for host in source.hosts:
        SubElement(place, "host", {"name": host.name, "port": str(host.port)})
    return element


def _driver(element: Element, image_format: str, options: DiskOptions) -> None:
    wanted = {"cache": options.cache, "discard": options.discard}
    given = {key: value for key, value in wanted.items() if value}
    SubElement(element, "driver", {"name": "qemu", "type": image_format, **given})
