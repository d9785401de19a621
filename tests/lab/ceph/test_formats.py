"""Clones of both formats: which one is made is the client's configuration."""

from dataclasses import replace
from pathlib import Path

import pytest
import rbd

from cowpath.core.errors import UsageError
from cowpath.core.model import Bytes, disk_name
from cowpath.stores.rbd.config import RbdConfig
from cowpath.testing.store_fixtures import IMAGE, SIZE, base_of
from cowpath.testing.store_lives import pattern
from tests.lab.ceph.cluster import Ceph
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

# librbd's own operation feature of a clone whose parent need not be protected.
_CLONE_CHILD = "clone-child"


@pytest.mark.parametrize(("clone_format", "child"), [(1, False), (2, True)])
def test_a_disk_is_a_clone_of_the_configured_format(
    edge: Ceph, doors: RbdDoors, tmp_path: Path, *, clone_format: int, child: bool
) -> None:
    data = pattern(1, SIZE)
    base_of(doors, IMAGE, data)
    conf = tmp_path / "ceph.conf"
    told = Path(doors.config.conf).read_text(encoding="utf-8")
    conf.write_text(f"{told}\n[client]\nrbd_default_clone_format = {clone_format}\n")
    doors.config = replace(doors.config, conf=str(conf))
    store = doors.another()
    base = store.find_base(doors.image(IMAGE, SIZE))
    assert base is not None

    disk = store.clone(base, disk_name("a"), Bytes(2 * SIZE))
    facts = edge.json("rbd", "info", f"{doors.vms}/a")
    assert (_CLONE_CHILD in facts["op_features"]) is child
    assert facts["parent"]["image"] == IMAGE
    assert store.find_disk(disk.name) == disk
    assert store.untouched(disk)
    assert doors.read(disk) == data + bytes(SIZE)

    store.delete(disk.name)
    assert store.find_disk(disk.name) is None
    with edge.pool(doors.images) as pool, rbd.Image(pool, IMAGE) as seen:
        assert list(seen.list_children()) == []


def test_with_format_1_an_unprotected_image_says_so(
    edge: Ceph, doors: RbdDoors, tmp_path: Path, suite_config: RbdConfig
) -> None:
    base_of(doors, IMAGE, pattern(1, SIZE))
    with edge.pool(doors.images) as pool, rbd.Image(pool, IMAGE) as seen:
        seen.unprotect_snap("snap")
    conf = tmp_path / "ceph.conf"
    told = Path(suite_config.conf).read_text(encoding="utf-8")
    conf.write_text(f"{told}\n[client]\nrbd_default_clone_format = 1\n")
    doors.config = replace(suite_config, conf=str(conf))
    store = doors.another()
    base = store.find_base(doors.image(IMAGE, SIZE))
    assert base is not None
    with pytest.raises(UsageError, match="rbd snap protect"):
        store.clone(base, disk_name("a"))
    assert store.find_disk(disk_name("a")) is None
