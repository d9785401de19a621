"""What libvirt is told of disks and guests; its own schema is the judge."""

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.model import (
    Bytes,
    Disk,
    DiskName,
    FileSource,
    Guest,
    RbdHost,
    RbdSource,
)
from cowpath.hypervisor import xml
from cowpath.hypervisor.config import DiskOptions

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
SECRET = "457eb676-33da-42ec-9a8c-9293d545c337"  # noqa: S105 - a name, not the key
FILE = Disk(
    DiskName("vm1"),
    Bytes(2**30),
    FileSource("/disks/vm1.qcow2", backing="/disks/bases/debian"),
)
RBD = replace(
    FILE,
    source=RbdSource(
        "vms",
        "vm1",
        (RbdHost("192.0.2.1", 6789), RbdHost("2001:db8::1", 3300)),
        "nova",
        SECRET,
    ),
)
PLAIN = DiskOptions()
FULL = DiskOptions("writeback", "unmap")
HOSTILE = [
    "/disks/<&>\"'.qcow2",
    "/disks/]]>.qcow2",
    "/disks/json:{}.qcow2",
    "/disks/ä 世界.qcow2",
    "/disks/&amp;.qcow2",
]
Judge = Callable[[Element], None]


def _validator() -> Callable[[bytes], bool]:
    """Return whether libvirt's own schema takes a document, by libvirt's own parser.

    libvirt's library brings libxml2 and the schemas; no other tool is needed. What
    is wrong with a document libxml2 writes to stderr.
    """
    library = ctypes.CDLL(ctypes.util.find_library("xml2"))
    for name in (
        "xmlRelaxNGNewParserCtxt",
        "xmlRelaxNGParse",
        "xmlRelaxNGNewValidCtxt",
        "xmlReadMemory",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    parser = ctypes.c_void_p(library.xmlRelaxNGNewParserCtxt(str(SCHEMA).encode()))
    schema = ctypes.c_void_p(library.xmlRelaxNGParse(parser))
    assert schema.value, f"{SCHEMA} is no schema"

    def accepts(text: bytes) -> bool:
        read = library.xmlReadMemory(text, len(text), b"guest.xml", None, 0)
        document = ctypes.c_void_p(read)
        assert document.value, "not well-formed"
        context = ctypes.c_void_p(library.xmlRelaxNGNewValidCtxt(schema))
        wrong = library.xmlRelaxNGValidateDoc(context, document)
        library.xmlRelaxNGFreeValidCtxt(context)
        library.xmlFreeDoc(document)
        return not wrong

    return accepts


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Return a check of a `<domain>` against libvirt's schema."""
    if not SCHEMA.exists() or not ctypes.util.find_library("xml2"):
        pytest.skip(f"libvirt's schemas or libxml2 are not here ({SCHEMA}): libvirt0")
    accepts = _validator()

    def check(domain: Element) -> None:
        assert accepts(tostring(domain)), "libvirt's schema refuses it"

    return check


def parsed(text: str) -> Element:
    return fromstring(text)  # noqa: S314  # our own adapter wrote it


def in_domain(disk: str) -> Element:
    """Return the smallest domain that has `disk`."""
    domain = Element("domain", {"type": "qemu"})
    SubElement(domain, "name").text = "vm1"
    SubElement(domain, "memory").text = "1"
    SubElement(SubElement(domain, "os"), "type").text = "hvm"
    SubElement(domain, "devices").append(parsed(disk))
    return domain


def attributes(element: Element, path: str) -> dict[str, str]:
    found = element.find(path)
    assert found is not None, path
    return found.attrib


def test_the_judge_judges(judge: Judge) -> None:
    domain = in_domain(xml.disk_xml(FILE, PLAIN))
    judge(domain)
    attributes(domain, "devices/disk/driver")["cache"] = "nonsense"
    with pytest.raises(AssertionError, match="refuses it"):
        judge(domain)


@pytest.mark.parametrize("disk", [FILE, RBD], ids=["file", "rbd"])
@pytest.mark.parametrize("options", [PLAIN, FULL], ids=["plain", "full"])
def test_libvirt_takes_every_disk(
    disk: Disk, options: DiskOptions, judge: Judge
) -> None:
    judge(in_domain(xml.disk_xml(disk, options)))


@pytest.mark.parametrize("disk", [FILE, RBD], ids=["file", "rbd"])
@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
def test_libvirt_takes_every_guest(disk: Disk, virt_type: str, judge: Judge) -> None:
    guest = Guest("vm1", disk, Bytes(2**29), 2, {"image": "6f2e", "made": "<&>"})
    judge(parsed(xml.domain_xml(guest, FULL, virt_type=virt_type)))


def test_a_file_disk_tells_formats_and_the_whole_chain_so_that_nobody_probes() -> None:
    disk = parsed(xml.disk_xml(FILE, PLAIN))
    assert disk.attrib == {"type": "file", "device": "disk"}
    assert attributes(disk, "driver") == {"name": "qemu", "type": "qcow2"}
    assert attributes(disk, "source") == {"file": "/disks/vm1.qcow2"}
    assert attributes(disk, "backingStore") == {"type": "file"}
    assert attributes(disk, "backingStore/format") == {"type": "raw"}
    assert attributes(disk, "backingStore/source") == {"file": "/disks/bases/debian"}
    end = disk.find("backingStore/backingStore")
    assert end is not None
    assert list(end) == []
    assert end.attrib == {}
    assert attributes(disk, "target") == {"dev": "vda", "bus": "virtio"}


def test_a_file_disk_that_stands_alone_ends_its_chain_at_once() -> None:
    alone = replace(FILE, source=FileSource("/disks/vm1.raw", "raw"))
    disk = parsed(xml.disk_xml(alone, PLAIN))
    assert attributes(disk, "driver")["type"] == "raw"
    (chain,) = disk.findall("backingStore")
    assert list(chain) == []
    assert chain.attrib == {}


def test_an_rbd_disk_names_pool_monitors_user_and_secret() -> None:
    disk = parsed(xml.disk_xml(RBD, PLAIN))
    assert disk.attrib == {"type": "network", "device": "disk"}
    assert attributes(disk, "driver")["type"] == "raw"
    assert attributes(disk, "source") == {"protocol": "rbd", "name": "vms/vm1"}
    hosts = [host.attrib for host in disk.findall("source/host")]
    assert hosts == [
        {"name": "192.0.2.1", "port": "6789"},
        {"name": "2001:db8::1", "port": "3300"},
    ]
    assert attributes(disk, "auth") == {"username": "nova"}
    assert attributes(disk, "auth/secret") == {"type": "ceph", "uuid": SECRET}


def test_an_rbd_disk_without_cephx_has_no_auth(judge: Judge) -> None:
    open_pool = replace(RBD, source=RbdSource("vms", "vm1", (RbdHost("mon", 6789),)))
    text = xml.disk_xml(open_pool, PLAIN)
    assert parsed(text).find("auth") is None
    judge(in_domain(text))


@pytest.mark.parametrize("disk", [FILE, RBD], ids=["file", "rbd"])
def test_cache_and_discard_are_told_only_where_they_are_chosen(disk: Disk) -> None:
    plain = attributes(parsed(xml.disk_xml(disk, PLAIN)), "driver")
    assert plain.keys() == {"name", "type"}
    full = attributes(parsed(xml.disk_xml(disk, FULL)), "driver")
    assert full == {**plain, "cache": "writeback", "discard": "unmap"}


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_paths_stay_paths(path: str, judge: Judge) -> None:
    disk = replace(FILE, source=FileSource(path, backing=path))
    domain = in_domain(xml.disk_xml(disk, PLAIN))
    assert attributes(domain, "devices/disk/source") == {"file": path}
    assert attributes(domain, "devices/disk/backingStore/source") == {"file": path}
    assert len(domain.findall(".//disk")) == 1
    judge(domain)


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"])))
def test_no_text_gets_out_of_its_attribute(text: str) -> None:
    disk = replace(RBD, source=RbdSource("vms", text, user=f"u{text}", secret=SECRET))
    element = parsed(xml.disk_xml(disk, PLAIN))
    assert attributes(element, "source")["name"] == f"vms/{text}"
    assert attributes(element, "auth") == {"username": f"u{text}"}


def test_a_guest_has_its_facts_one_disk_and_a_console() -> None:
    guest = Guest("vm1", FILE, Bytes(2**29), 2, {"image": "6f2e", "made": "<&>"})
    domain = parsed(xml.domain_xml(guest, FULL, virt_type="qemu"))
    assert domain.attrib == {"type": "qemu"}
    assert domain.findtext("name") == "vm1"
    assert domain.findtext("memory") == str(2**29)
    assert attributes(domain, "memory") == {"unit": "b"}
    assert domain.findtext("vcpu") == "2"
    facts = domain.find(f"metadata/{{{xml.NAMESPACE}}}guest")
    assert facts is not None
    told = {fact.tag.rpartition("}")[2]: fact.text for fact in facts}
    assert told == {"image": "6f2e", "made": "<&>"}
    assert len(domain.findall("devices/disk")) == 1
    assert attributes(domain, "devices/console") == {"type": "pty"}
    disk = domain.find("devices/disk")
    assert disk is not None
    alone = parsed(xml.disk_xml(FILE, FULL))
    assert [child.tag for child in disk] == [child.tag for child in alone]
