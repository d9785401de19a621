"""Images that are placed at a site before anybody boots them there."""

from pathlib import Path

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, Cloud

pytestmark = pytest.mark.openstack


def test_an_aggregate_s_cache(cloud: Cloud) -> None:
    """By the openstack client. Nova would download it to a file, and clone nothing."""
    image = cloud.upload(store=CENTRAL)
    cloud.openstack("aggregate", "cache", "image", EDGE, image)
    cloud.wait(lambda: cloud.is_placed(image, EDGE), "the image at edge")
    assert cloud.copies(image) == 1
    server = cloud.boot(image, EDGE)
    assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.asked(image) == 1
    files = Path(cloud.lab["sites"][EDGE]["instances_path"], "_base")
    assert not [*files.glob("*")]
    cloud.delete(server)
