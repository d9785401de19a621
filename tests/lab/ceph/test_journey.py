"""An image of another store becomes guests at this site, as rbd itself tells."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, VMS, CephBench

pytestmark = pytest.mark.ceph

_CENTRAL = "central"
_MEMORY = "192M"


@pytest.fixture(scope="module")
def guest_image(bench: CephBench, ceph_lab: dict[str, Any]) -> str:
    """Publish the guest as qcow2; Glance keeps it raw, in store central only."""
    image = bench.convert(Path(ceph_lab["guest"]["qcow2"]))
    told = bench.show(image)
    assert (told["disk_format"], told["stores"]) == ("raw", _CENTRAL)
    return image


def test_two_guests_from_one_copy(
    bench: CephBench, ceph_lab: dict[str, Any], guest_image: str
) -> None:
    guest = ceph_lab["guest"]
    names = bench.name(), bench.name()
    words = ("is not in edge: asked Glance to copy it from central", "no copy needed")
    for name, said in zip(names, words, strict=True):
        boot = ("boot", guest_image, "--memory", _MEMORY, "--console", "--name", name)
        ran = bench.cowpath(*boot)
        assert said in ran.err
        assert f"{guest['marker']} {guest['uuid']}" in ran.out
        assert re.search(rf"GUEST-DATA-MD5 \S+ {guest['data_md5']}", ran.out)
    assert bench.copies(guest_image) == 1
    assert bench.stores(guest_image) == {_CENTRAL, EDGE}
    _share_one_parent(bench, guest_image, names)
    for name in names:
        bench.wait(lambda name=name: _is_off(bench, name), "the power-off")  # type: ignore[misc]  # mypy: lambda with default
        bench.virsh("undefine", name)
        bench.cowpath("disk", "delete", name)
        assert name not in bench.clusters[EDGE].names(VMS)


def _is_off(bench: CephBench, name: str) -> bool:
    return "shut off" in bench.virsh("domstate", name)


def _share_one_parent(bench: CephBench, image: str, names: tuple[str, ...]) -> None:
    for name in names:
        parent = bench.info(name)["parent"]
        found = (parent["pool"], parent["image"], parent["snapshot"])
        assert found == (IMAGES, image, "snap")
    listed = bench.clusters[EDGE].json("rbd", "children", f"{IMAGES}/{image}@snap")
    assert {each["image"] for each in listed} >= {*names}


def test_a_second_disk_costs_no_data(bench: CephBench, guest_image: str) -> None:
    for _ in range(2):
        name = bench.name()
        bench.cowpath("disk", "create", guest_image, name, "--size", "1G")
        told = bench.clusters[EDGE].json("rbd", "du", f"{VMS}/{name}")
        assert [each["used_size"] for each in told["images"]] == [0]
        assert bench.info(name)["size"] == 2**30
    assert bench.copies(guest_image) == 1


@pytest.mark.parametrize(
    ("source", "target"),
    [("files", EDGE), ("files", _CENTRAL), (_CENTRAL, EDGE), (EDGE, _CENTRAL)],
)
def test_between_any_two_stores(bench: CephBench, source: str, target: str) -> None:
    data = noise(3)
    image, name = bench.upload(data, store=source), bench.name(target)
    assert bench.stores(image) == {source}
    ran = bench.cowpath("disk", "create", image, name, "--json", site=target)
    assert ran.document["size"] == 3 * 2**20
    assert bench.stores(image) == {source, target}
    assert bench.copies(image) == 1
    with bench.clusters[target].opened(VMS, name) as seen:
        found = hashlib.sha256(seen.read(0, seen.size())).digest()
    assert found == hashlib.sha256(b"".join(data)).digest()
    assert bench.info(name, site=target)["parent"]["image"] == image
