"""Copies between real Ceph clusters by the lab's own Glance, with our door in it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, CephBench, phases
from tests.lab.ceph.cluster import Ceph, service
from tests.lab.glance_door import SLOW, TO_COME, Door

pytestmark = pytest.mark.ceph

_MIB = 2**20


def _sha256(content: list[bytes]) -> str:
    made = sha256()
    for part in content:
        made.update(part)
    return made.hexdigest()


def _names(ceph: Ceph, image: str) -> list[str]:
    return [name for name in ceph.names(IMAGES) if image in name]


def test_a_copy_is_the_image_and_can_be_cloned(door: Door, edge: Ceph) -> None:
    bench, content = door.bench, [*noise(9), bytes(80 * _MIB), *noise(3)]
    image = bench.upload(content)
    task = door.copied(image, EDGE)
    assert (task["status"], task["message"]) == ("success", f"Copied to {EDGE}.")
    assert bench.stores(image) == {"central", EDGE}
    assert edge.digest(IMAGES, image) == _sha256(content)
    (snap,) = edge.json("rbd", "snap", "ls", f"{IMAGES}/{image}")
    assert (snap["name"], snap["protected"]) == ("snap", "true")
    (told,) = [
        each
        for each in edge.json("rbd", "du", f"{IMAGES}/{image}")["images"]
        if each.get("snapshot")
    ]
    assert told["used_size"] < 40 * _MIB
    assert _names(edge, image) == [image]
    ran = bench.run("disk", "create", image, bench.name(EDGE), site=EDGE)
    assert ran.code == 0, ran


def test_to_a_cluster_and_to_files_at_once(door: Door, edge: Ceph) -> None:
    bench, content = door.bench, noise(6)
    image = bench.upload(content)
    assert door.copied(image)["status"] == "success"
    assert bench.stores(image) == {"central", EDGE, "files"}
    assert edge.digest(IMAGES, image) == _sha256(content)


def test_from_files_to_a_cluster(door: Door, edge: Ceph) -> None:
    bench, content = door.bench, noise(6)
    image = bench.upload(content, store="files")
    assert door.copied(image, EDGE)["status"] == "success"
    assert edge.digest(IMAGES, image) == _sha256(content)


@pytest.mark.parametrize(
    ("way", "engine"), [("kill", "serial"), ("stop", "serial"), ("stop", "parallel")]
)
def test_a_copy_outlives_its_glance(
    served: Door, edge: Ceph, way: str, engine: str
) -> None:
    bench, content = served.bench, noise(TO_COME)
    settings = SLOW, f"taskflow_executor.engine_mode={engine}"
    served.start(*settings)
    image = bench.upload(content)
    task = served.ask(image, EDGE)
    served.begun(task)
    service("glance", way)
    served.start(*settings)
    assert served.ended(image, task)["status"] == "success"
    assert bench.tasks(image) == [(task, "success")]
    assert edge.digest(IMAGES, image) == _sha256(content)
    assert _names(edge, image) == [image]


@pytest.mark.parametrize("name", ["cowpath-copy-{}", "{}"])
def test_killed_once_there_is_something_in_the_pool(
    served: Door, edge: Ceph, name: str
) -> None:
    """While it arrives, and as soon as it has its own name."""
    bench, content = served.bench, noise(32)
    served.start(SLOW)
    image = bench.upload(content)
    task = served.ask(image, EDGE)
    wanted = name.format(image)
    bench.wait(lambda: wanted in edge.names(IMAGES), wanted, every=0.01)
    service("glance", "kill")
    served.start()
    assert served.ended(image, task)["status"] == "success"
    assert edge.digest(IMAGES, image) == _sha256(content)
    assert _names(edge, image) == [image]


def test_an_image_that_is_deleted_meanwhile_leaves_nothing(
    slow: Door, edge: Ceph, central: Ceph
) -> None:
    bench = slow.bench
    image = bench.upload(noise(TO_COME))
    task = slow.ask(image, EDGE)
    slow.begun(task)
    bench.delete(image)
    bench.wait(lambda: slow.task(task)["status"] == "failure", "the task's end")
    assert "was deleted" in slow.task(task)["message"]
    bench.wait(lambda: slow.records == [], "the record's end")
    assert _names(edge, image) == _names(central, image) == []


def test_a_full_pool(door: Door, edge: Ceph) -> None:
    bench = door.bench
    image = bench.upload(noise(32))
    with edge.full(IMAGES):
        task = door.copied(image, EDGE)
    assert task["status"] == "failure"
    assert f"Not copied to {EDGE}: " in task["message"]
    assert bench.show(image)["os_glance_failed_import"] == EDGE
    assert door.copied(image, EDGE)["status"] == "success"


def test_cowpath_at_the_site_sees_it_arrive(slow: Door, tmp_path: Path) -> None:
    bench = slow.bench
    assert isinstance(bench, CephBench)
    image = bench.upload(noise(TO_COME))
    ran = bench.begin(tmp_path, "image", "place", image, site=EDGE).end()
    assert ran.code == 0, ran
    assert "storing" in phases(ran), json.dumps(ran.events)
    seen = {each["present"] for each in ran.told("CopyProgress")}
    assert len(seen - {0}) > 1, seen
