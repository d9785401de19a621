"""What Glance says is not believed where it leads out of this site's cluster."""

from pathlib import Path

import pytest

from cowpath import open_site
from cowpath.core.errors import UntrustedError
from cowpath.site import Site
from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, VMS, CephBench
from tests.lab.ceph.cluster import Ceph

pytestmark = pytest.mark.ceph

_HIDDEN = (
    *("--set", "DEFAULT.show_multiple_locations=False"),
    *("--set", "DEFAULT.show_image_direct_url=False"),
)


@pytest.fixture
def misnamed(bench: CephBench, tmp_path: Path) -> str:
    """Configure the host beside `edge` with the store name of `central`."""
    text = Path(bench.lab["sites"][EDGE]).read_text()
    ours = "images_rbd_glance_store_name = "
    conf = tmp_path / "site.conf"
    conf.write_text(text.replace(f"{ours}edge", f"{ours}central"))
    return str(conf)


def test_store_name_of_the_other_cluster(
    bench: CephBench, edge: Ceph, central: Ceph, misnamed: str
) -> None:
    image, name = bench.upload(noise(1), store="central"), bench.name()
    ran = bench.run("disk", "create", image, name, conf=misnamed)
    assert ran.code == 11, ran
    for told in (image, central.fsid, edge.fsid, "images_rbd_glance_store_name"):
        assert told in ran.err
    assert bench.copies(image) == 0
    assert name not in edge.names(VMS)


def test_store_name_of_the_other_cluster_where_locations_are_hidden(
    bench: CephBench, edge: Ceph, misnamed: str
) -> None:
    image, name = bench.upload(noise(1), store="central"), bench.name()
    try:
        bench.service("--kind", "ceph", "glance", "start", *_HIDDEN)
        assert "locations" not in bench.show(image)
        ran = bench.run("disk", "create", image, name, conf=misnamed)
    finally:
        bench.service("--kind", "ceph", "glance", "start")
    assert ran.code == 11, ran
    for told in (image, edge.fsid, "images_rbd_glance_store_name"):
        assert told in ran.err
    assert name not in edge.names(VMS)


@pytest.fixture
def site(bench: CephBench, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    return open_site([bench.lab["sites"][EDGE]], cloud="lab-admin")


@pytest.mark.parametrize("wrong", ["pool", "cluster", "image", "snapshot"])
def test_a_location_that_was_forged(
    bench: CephBench, edge: Ceph, central: Ceph, site: Site, wrong: str
) -> None:
    """An administrator (or a tenant, where policy is open) patches a location in."""
    victim = bench.upload(noise(1), store=EDGE)
    image = bench.upload(noise(1), store="central")
    url = {
        "pool": f"rbd://{edge.fsid}/{VMS}/{image}/snap",
        "cluster": f"rbd://{central.fsid}/{IMAGES}/{image}/snap",
        "image": f"rbd://{edge.fsid}/{IMAGES}/{victim}/snap",
        "snapshot": f"rbd://{edge.fsid}/{IMAGES}/{image}/other",
    }[wrong]
    if wrong == "image":
        forged = {"url": url, "metadata": {"store": EDGE}}
        bench.patch(image, [{"op": "add", "path": "/locations/-", "value": forged}])
    else:
        # Glance refuses what it does not find; whoever has a pool can put it there.
        bench.forge(image, url)
    assert EDGE in bench.stores(image)
    name = bench.name()
    with pytest.raises(UntrustedError) as caught:
        site.create_disk(image, name)
    for told in (image, url, edge.fsid):
        assert told in str(caught.value)
    assert site.image(image).doubt
    assert name not in edge.names(VMS)
    assert bench.copies(image) == 0
    # Deleting the image now would delete what the forged location names.
    bench.forget_location(image, url)
