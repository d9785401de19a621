"""Many want one image at once, at sites on Ceph and elsewhere: all of them get it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, VMS, CephBench, kinds, why
from tests.lab.ceph.cluster import Ceph

pytestmark = pytest.mark.ceph

_CENTRAL = "central"
_FILES = "files"
_MIB = 2**20
_DISKS = 30


def _has(bench: CephBench, edge: Ceph, image: str, data: bytes) -> None:
    """Check that all three stores have an image's bytes, and that edge can clone it."""
    assert bench.stores(image) == {_CENTRAL, _FILES, EDGE}
    assert Path(bench.lab["stores"][_FILES], image).read_bytes() == data
    with edge.opened(IMAGES, image) as seen:
        assert seen.is_protected_snap("snap")
        assert seen.read(0, seen.size()) == data


def test_two_sites_ask_at_the_same_moment(
    bench: CephBench, edge: Ceph, tmp_path: Path
) -> None:
    """Nova's second one fails: Glance takes one import of an image at a time."""
    data = noise(16)
    image = bench.upload(data, store=_CENTRAL)
    # Else the first could be over before the second has asked.
    with edge.throttled(IMAGES, 4 * _MIB):
        first = bench.begin(tmp_path, "image", "place", image, "--store", EDGE)
        bench.until(first, event="CopyAsked", store=EDGE)
        ran = bench.tell("image", "place", image, "--store", _FILES, site=_CENTRAL)
        both = first.end(), ran
    assert [each.code for each in both] == [0, 0], both
    assert bench.copies(image) == 2
    behind = [each["behind"] for each in ran.told("CopyProgress")]
    assert [EDGE] in behind
    assert kinds(ran) == ["CopyAsked", "CopyFinished"]
    _has(bench, edge, image, b"".join(data))


def test_one_request_for_two_stores(bench: CephBench, edge: Ceph) -> None:
    data = noise(4)
    image = bench.upload(data, store=_CENTRAL)
    ran = bench.tell(
        "image", "place", image, "--store", EDGE, "--store", _FILES, "--json"
    )
    assert ran.code == 0, ran
    assert {*ran.document["placed"]} == {EDGE, _FILES}
    assert ran.document["placed"][EDGE]["where"] == f"{IMAGES}/{image}@snap"
    assert bench.asked(image) == 1
    _has(bench, edge, image, b"".join(data))


def test_one_of_two_stores_fails(bench: CephBench, edge: Ceph) -> None:
    """Each has its own result; the one that failed has it too, at the next call."""
    data = noise(2)
    image = bench.upload(data, store=_CENTRAL)
    words = ("image", "place", image, "--store", EDGE, "--store", _FILES, "--json")
    with edge.may("glance", osd=f"profile rbd-read-only pool={IMAGES}"):
        ran = bench.tell(*words)
    assert ran.code == 7, ran
    assert {*ran.document["placed"]} == {_FILES}
    assert {*ran.document["failed"]} == {EDGE}
    assert bench.copies(image) == 1
    assert bench.tell(*words).code == 0
    assert bench.copies(image) == 2
    _has(bench, edge, image, b"".join(data))


def test_30_disks_of_a_cold_image_at_once(bench: CephBench, edge: Ceph) -> None:
    """Processes that do not know each other: one copy, and no error."""
    image = bench.upload(noise(8), store=_CENTRAL)
    names = [bench.name() for _ in range(_DISKS)]
    # Glance accepts one more of an image whose copy began and ended while it was at the
    # request.
    with edge.throttled(IMAGES, _MIB), ThreadPoolExecutor(_DISKS) as pool:
        ran = [
            *pool.map(
                lambda name: bench.run("disk", "create", image, name, "--json"), names
            )
        ]
    failed = [each for each in ran if each.code]
    assert not failed, "\n".join(f"{each.code}: {each.err}" for each in failed)
    assert bench.copies(image) == 1
    assert {each.document["base"] for each in ran} == {f"{IMAGES}/{image}@snap"}
    assert {*names} <= {*edge.names(VMS)}


def test_room_that_has_to_remain(bench: CephBench, edge: Ceph, tmp_path: Path) -> None:
    image = bench.upload(noise(2), store=_CENTRAL)
    told = edge.json("ceph", "df")["pools"]
    [free] = [each["stats"]["max_avail"] for each in told if each["name"] == IMAGES]
    refused = bench.tell(
        "image", "place", image, conf=bench.conf(tmp_path, min_free=free)
    )
    assert refused.code == 12, refused
    for word in (image, EDGE, "min_free", str(2 * _MIB)):
        assert word in why(refused)
    assert bench.asked(image) == 0
    enough = bench.conf(tmp_path, min_free=free // 2)
    assert bench.tell("image", "place", image, conf=enough).code == 0
    assert bench.stores(image) == {_CENTRAL, EDGE}
