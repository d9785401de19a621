"""Kinds of images, image caching and Glance's locations beside one another."""

import pytest
from nova import exception
from nova.virt.libvirt.imagecache import get_cache_fname

from cowpath.testing.glance_scripts import Verb
from tests.nova.inside.world import FSIDS, GIB, Compute


def test_07_an_iso_is_cloned_once_it_was_copied(compute: Compute) -> None:
    image = compute.world.upload(disk_format="iso")
    if compute.ours:
        assert compute.is_clone(compute.boot(image.id), image.id)
    else:
        with pytest.raises(exception.ImageUnacceptable, match="No image locations"):
            compute.boot(image.id)
    assert compute.world.count(Verb.COPY) == 1


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", None])
def test_what_cannot_be_cloned_is_not_copied(compute: Compute, kind: str) -> None:
    image = compute.world.upload(disk_format=kind)
    with pytest.raises(
        exception.ImageUnacceptable, match="Image is not raw format"
    ) as caught:
        compute.boot(image.id)
    assert ("qemu-img convert" in str(caught.value)) is compute.ours
    assert compute.world.count(Verb.COPY) == 0


def test_what_cannot_be_cloned_is_downloaded_where_that_is_allowed(
    compute: Compute,
) -> None:
    compute.set(never_download_image_if_on_rbd=False)
    image = compute.world.upload(disk_format="qcow2")
    disk = compute.boot(image.id)
    assert compute.world.downloads == [image.id]
    assert compute.world.edge.pools["vms"][disk].parent is None
    assert compute.world.count(Verb.COPY) == 0


def test_22_caching_places_the_image(compute: Compute) -> None:
    image = compute.world.upload()
    assert compute.libvirt.cache_image(compute.world.context(), image.id) is True
    cached = list((compute.world.folder / "_base").glob("*"))
    assert compute.libvirt.cache_image(compute.world.context(), image.id) is False
    copies = compute.world.count(Verb.COPY)
    disk = compute.boot(image.id)
    # Nova finds the file, so it does not even look whether the image can be cloned.
    assert compute.is_clone(disk, image.id) is compute.ours
    assert (len(cached), compute.world.downloads, copies) == (
        (0, [], 1) if compute.ours else (1, [image.id], 0)
    )


def test_22_a_file_that_nova_cached_once_is_not_taken(compute: Compute) -> None:
    """It is there where Nova's own nova-compute ran before."""
    image = compute.world.upload()
    folder = compute.world.folder / "_base"
    folder.mkdir()
    cached = folder / get_cache_fname(image.id)
    compute.world.fetch(None, image.id, str(cached))
    disk = compute.boot(image.id)
    assert compute.is_clone(disk, image.id) is compute.ours
    assert compute.world.edge.pools["vms"][disk].size == 2 * GIB
    with pytest.raises(exception.FlavorDiskSmallerThanImage):
        compute.boot(compute.world.upload(size=3 * GIB).id)


def test_22_caching_what_cannot_be_placed_fails(ours: Compute) -> None:
    image = ours.world.upload(disk_format="qcow2")
    with pytest.raises(exception.ImageUnacceptable):
        ours.libvirt.cache_image(ours.world.context(), image.id)


def test_22_without_a_store_caching_is_nova_s(ours: Compute) -> None:
    ours.set(images_rbd_glance_store_name="")
    image = ours.world.upload()
    assert ours.libvirt.cache_image(ours.world.context(), image.id) is True
    assert ours.world.downloads == [image.id]


def test_27_many_locations_take_one_connection(compute: Compute) -> None:
    image = compute.world.upload()
    elsewhere = "33333333-0000-4000-8000-{:012x}"
    compute.world.http.foreign[image.id] = [
        f"rbd://{elsewhere.format(site)}/images/{image.id}/snap" for site in range(100)
    ]
    compute.boot(image.id)
    connects = len(compute.world.edge.clients)
    if compute.ours:
        assert connects == 1
        assert len(compute.world.edge.open) == 1
    else:
        assert connects > 200
        assert compute.world.edge.open == []


def test_an_image_that_is_here_is_not_asked_for(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.copy_elsewhere(image.id, "edge1")
    compute.world.clock.sleep(60)
    assert compute.is_clone(compute.boot(image.id), image.id)
    assert compute.world.count(Verb.COPY) == 0
    assert compute.world.count(Verb.GET) == 1


def test_a_disk_that_is_here_is_kept(compute: Compute) -> None:
    image = compute.world.upload()
    server = compute.instance(image.id)
    disk = compute.boot(image.id, instance=server)
    kept = compute.world.edge.pools["vms"][disk]
    compute.world.glance.requests.clear()
    compute.boot(image.id, instance=server)
    assert compute.world.edge.pools["vms"][disk] is kept
    assert compute.world.glance.requests == []


@pytest.mark.parametrize("names_a_store", [False, True])
def test_without_a_store_nothing_is_copied(
    compute: Compute, *, names_a_store: bool
) -> None:
    compute.set(images_rbd_glance_store_name="edge1" if names_a_store else "")
    image = compute.world.upload()
    if names_a_store:
        compute.boot(image.id)
    else:
        with pytest.raises(exception.ImageUnacceptable, match="No image locations"):
            compute.boot(image.id)
    assert compute.world.count(Verb.COPY) == int(names_a_store)


def test_a_location_in_our_cluster_is_enough_without_a_store(compute: Compute) -> None:
    compute.set(images_rbd_glance_store_name="")
    image = compute.world.upload()
    compute.world.glance.copy_elsewhere(image.id, "edge1")
    compute.world.clock.sleep(60)
    assert FSIDS["edge1"] in str(compute.world.glance.get(image.id).locations)
    assert compute.is_clone(compute.boot(image.id), image.id)
