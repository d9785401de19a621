"""Where an image may lie: locations that others wrote, and those that are hidden."""

import pytest
from nova import exception

from cowpath.core.model import Image
from cowpath.testing.glance_scripts import Verb
from tests.nova.inside.cluster import SNAP
from tests.nova.inside.world import EDGE, FSIDS, GIB, Compute

_DISK = "bbbbbbbb-0000-4000-8000-000000000000_disk"


def patched(compute: Compute, image: Image, url: str = "") -> None:
    """Let a tenant PATCH the snapshot of somebody's disk into an image."""
    disk = compute.world.edge.put("vms", _DISK, GIB, written=GIB)
    disk.snaps[SNAP] = True
    place = url or f"rbd://{FSIDS['edge1']}/vms/{_DISK}/{SNAP}"
    compute.world.http.foreign[image.id] = [place]


def test_somebody_s_disk_is_no_image(compute: Compute) -> None:
    image = compute.world.upload()
    patched(compute, image)
    made = compute.world.edge.pools["vms"][compute.boot(image.id)]
    assert made.parent is not None
    assert made.parent[1] == (image.id if compute.ours else _DISK)


def test_another_image_is_not_this_one(compute: Compute) -> None:
    image, secret = compute.world.upload(), compute.world.upload()
    compute.world.edge.arrive(secret.id, GIB, GIB)
    patched(compute, image, f"rbd://{FSIDS['edge1']}/images/{secret.id}/snap")
    made = compute.world.edge.pools["vms"][compute.boot(image.id)]
    assert made.parent is not None
    assert made.parent[1] == (image.id if compute.ours else secret.id)


@pytest.mark.parametrize(
    "url",
    [
        "rbd://",
        "rbd://{fsid}/images/{image}",
        "rbd://{fsid}//{image}/snap",
        "rbd://{fsid}/images/..%2Fx/snap",
        "rbd://{fsid}/images/{image}/other",
        "http://example.org/{image}",
        "file:///etc/shadow",
    ],
)
def test_nonsense_is_passed_over(compute: Compute, url: str) -> None:
    image = compute.world.upload()
    patched(compute, image, url.format(fsid=FSIDS["edge1"], image=image.id))
    assert compute.is_clone(compute.boot(image.id), image.id)


def test_an_image_in_a_pool_that_is_not_named_is_not_taken(ours: Compute) -> None:
    ours.configure("[cowpath]\nimages_pool = images\n")
    image = ours.world.upload()
    ours.world.edge.pools["other"] = {}
    ours.world.edge.put("other", image.id, GIB).snaps[SNAP] = True
    patched(ours, image, f"rbd://{FSIDS['edge1']}/other/{image.id}/snap")
    assert ours.is_clone(ours.boot(image.id), image.id)
    assert ours.world.count(Verb.COPY) == 1


@pytest.mark.parametrize("direct_url", [False, True])
def test_an_image_whose_locations_are_hidden_is_found(
    compute: Compute, *, direct_url: bool
) -> None:
    compute.world.http.show_locations = False
    compute.world.http.direct_url = direct_url
    image = compute.world.upload()
    if not compute.ours:
        with pytest.raises(exception.ImageUnacceptable, match="No image locations"):
            compute.boot(image.id)
        return
    for _ in range(2):
        assert compute.is_clone(compute.boot(image.id), image.id)
    assert compute.world.count(Verb.COPY) == 1


def test_a_store_of_another_cluster_is_told(ours: Compute) -> None:
    """Glance lists the image in our store, and our cluster does not have it."""
    image = ours.world.upload(stores=frozenset({EDGE}))
    with pytest.raises(exception.ImageUnacceptable) as caught:
        ours.boot(image.id)
    assert FSIDS["edge1"] in str(caught.value)
    assert ours.world.count(Verb.COPY) == 0
