"""What must not differ from Nova's own class: names, paths, traits, XML, sizes.

The letters are those of the list of features in docs/nova.md.
"""

import inspect
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from nova import exception
from nova.virt.image import model as image_model
from nova.virt.libvirt import imagebackend

from cowpath.doors.nova import backend
from tests.nova.inside.cluster import RBD
from tests.nova.inside.world import CONF, GIB, Compute

_PUBLIC = sorted(
    name
    for name, member in inspect.getmembers(imagebackend.Rbd, inspect.isroutine)
    if not name.startswith("__")
)


@pytest.mark.parametrize("name", _PUBLIC)
def test_every_method_takes_what_nova_s_takes(name: str) -> None:
    novas = dict(inspect.signature(getattr(imagebackend.Rbd, name)).parameters)
    ours = dict(inspect.signature(getattr(backend.Rbd, name)).parameters)
    kinds = {each.kind for each in ours.values()}
    if {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds:
        ours = {key: each for key, each in ours.items() if key in novas}
        novas = {key: novas[key] for key in ours}
    assert list(ours) == list(novas)
    assert [each.default for each in ours.values()] == [
        each.default for each in novas.values()
    ]


def test_a1_a_pool_must_be_named(compute: Compute) -> None:
    CONF.set_override("images_rbd_pool", "", group="libvirt")
    with pytest.raises(RuntimeError, match="images_rbd_pool"):
        compute.disk()


def test_a2_disks_have_nova_s_names(compute: Compute) -> None:
    server = compute.instance("")
    assert compute.disk(server).rbd_name == f"{server.uuid}_disk"
    assert compute.disk(path="rbd:vms/name").rbd_name == "name"
    with pytest.raises(exception.InvalidDevicePath):
        compute.disk(path="no-slash")


def test_a3_the_path_is_qemu_s(compute: Compute) -> None:
    server = compute.instance("")
    name = f"{server.uuid}_disk"
    assert compute.disk(server).path == f"rbd:vms/{name}:id=nova:conf=edge1.conf"


def test_a4_traits(compute: Compute) -> None:
    disk = compute.disk()
    assert disk.SUPPORTS_CLONE is True
    assert disk.SUPPORTS_LUKS is False
    assert disk.is_shared_block_storage() is True
    assert disk.is_file_in_instance_path() is False
    assert disk._can_fallocate() is False
    assert (disk.source_type, disk.driver_format) == ("block", "rbd")
    assert isinstance(disk, imagebackend.Rbd)


def test_a5_ephemeral_encryption_is_refused(compute: Compute) -> None:
    CONF.set_override("enabled", True, group="ephemeral_storage_encryption")  # noqa: FBT003  # oslo's
    with pytest.raises(exception.InternalError, match="LVM"):
        compute.disk()


def _xml(compute: Compute, **specs: str) -> Any:
    options = {"rbd_secret_uuid": "a-secret", "hw_disk_discard": "unmap"}
    compute.set(**options)
    disk = compute.disk(compute.instance(""))
    told = disk.libvirt_info("writeback", specs, boot_order="1")
    return ET.fromstring(told.to_xml())  # noqa: S314  # Nova's own


def test_b1_the_disk_in_the_domain(compute: Compute) -> None:
    xml = _xml(compute, **{"quota:disk_read_iops_sec": "10"})
    assert dict(xml.attrib) == {"type": "network", "device": "disk"}
    told = {"type": "raw", "cache": "writeback", "discard": "unmap"}
    assert dict(xml.find("driver").attrib) == told
    assert xml.find("source").get("protocol") == "rbd"
    assert xml.find("source").get("name").startswith("vms/aaaaaaaa-")
    assert dict(xml.find("auth").attrib) == {"username": "nova"}
    told = {"type": "ceph", "uuid": "a-secret"}
    assert dict(xml.find("auth/secret").attrib) == told
    assert dict(xml.find("target").attrib) == {"bus": "virtio", "dev": "vda"}
    assert xml.find("boot").get("order") == "1"
    assert xml.findtext("iotune/read_iops_sec") == "10"


def test_b2_the_monitors(compute: Compute) -> None:
    hosts = [
        (host.get("name"), host.get("port"))
        for host in _xml(compute).findall("source/host")
    ]
    assert hosts == [("10.0.0.1", "6789"), ("fd00::1", "6789")]
    asked = [command[:3] for command in compute.world.commands]
    assert asked == ([] if compute.ours else [("ceph", "mon", "dump")])


@pytest.mark.parametrize("strip", [True, False])
def test_b2_brackets_of_addresses(compute: Compute, *, strip: bool) -> None:
    hosts, ports = compute.disk().driver.get_mon_addrs(strip_brackets=strip)
    assert hosts == ["10.0.0.1", "fd00::1" if strip else "[fd00::1]"]
    assert ports == ["6789", "6789"]


def test_b2_a_user_who_may_not_ask_asks_as_nova_does(ours: Compute) -> None:
    ours.world.edge.mons_answer = False
    assert ours.disk().driver.get_mon_addrs()[0] == ["10.0.0.1", "fd00::1"]
    assert [command[0] for command in ours.world.commands] == ["ceph"]


def test_c2_a_disk_grows_to_its_flavor_and_never_shrinks(compute: Compute) -> None:
    image = compute.world.upload()
    disk = compute.boot(image.id)
    assert compute.world.edge.pools["vms"][disk].size == 2 * GIB
    with pytest.raises(exception.FlavorDiskSmallerThanImage):
        compute.boot(compute.world.upload(size=3 * GIB).id)


def test_c2_files_are_imported(compute: Compute) -> None:
    """Ephemeral disks and swap are made as files first."""

    def make(target: str, **_kwargs: object) -> None:
        compute.world.fetch(None, compute.world.upload().id, target)

    server = compute.instance("")
    disk = compute.disk(server, "disk.local")
    disk.cache(make, "ephemeral_1_default", GIB, context=compute.world.context())
    assert compute.disks == [f"{server.uuid}_disk.local"]
    assert compute.world.glance.requests == []


def test_c4_sizes(compute: Compute) -> None:
    compute.world.edge.put("vms", "disk", GIB)
    disk = compute.disk(path="rbd:vms/disk")
    disk.resize_image(2 * GIB)
    assert disk.get_disk_size("another name") == 2 * GIB


def test_d1_the_first_cloneable_location_wins(compute: Compute) -> None:
    image = compute.world.upload()
    compute.boot(image.id)
    # Glance shows central's first.
    places = [str(place.url) for place in compute.world.glance.get(image.id).locations]
    assert len(places) == 2
    assert compute.is_clone(compute.boot(image.id), image.id)


def test_d1_clone_as_others_call_it(compute: Compute) -> None:
    """Nova's own rescue, and any other caller, without `cache` before it."""
    image = compute.world.upload()
    disk = compute.disk(compute.instance(""))
    with pytest.raises(exception.ImageUnacceptable, match="No image locations"):
        disk.clone(compute.world.context(), image.id, copy_to_store=False)
    disk.clone(compute.world.context(), image.id)
    assert compute.is_clone(disk.rbd_name, image.id)


def test_f1_what_is_refused_is_downloaded_where_that_is_allowed(
    compute: Compute,
) -> None:
    compute.set(never_download_image_if_on_rbd=False)
    image = compute.world.upload()
    compute.world.glance.leave_partial(image.id, "edge1", 7)
    disk = compute.boot(image.id)
    assert compute.world.downloads == [image.id]
    assert compute.world.edge.pools["vms"][disk].parent is None


def test_g1_flattening_is_idempotent(compute: Compute) -> None:
    image = compute.world.upload()
    name = compute.boot(image.id)
    disk = compute.disk(path=f"rbd:vms/{name}")
    for _ in range(2):
        disk.flatten()
        assert compute.world.edge.pools["vms"][name].parent is None


def test_h1_a_file_takes_the_place_of_a_disk(compute: Compute) -> None:
    file = compute.world.folder / "config"
    file.write_bytes(bytes(4096))
    server = compute.instance("")
    disk = compute.disk(server, "disk.config")
    for _ in range(2):
        disk.import_file(server, str(file), "disk.config")
    assert compute.disks == [f"{server.uuid}_disk.config"]


def test_h5_the_model_for_libguestfs(compute: Compute) -> None:
    model = compute.disk(path="rbd:vms/disk").get_model(None)
    assert isinstance(model, image_model.RBDImage)
    assert (model.name, model.pool, model.user) == ("disk", "vms", "nova")
    assert model.servers == ["10.0.0.1:6789", "[fd00::1]:6789"]


def test_i2_a_disk_that_is_not_there_is_removed_already(compute: Compute) -> None:
    disk = compute.disk(path="rbd:vms/disk")
    disk.driver.remove_image("disk")
    assert disk.exists() is False
    with pytest.raises(RBD.ImageNotFound):
        disk.driver.size("disk")
