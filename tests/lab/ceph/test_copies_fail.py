"""The target is full, closed to Glance, or away: what is seen, and when it is seen.

Where Glance says that it failed, it is believed at once. Where it waits for the
cluster, as librbd does for ever, only our own bounds end the wait, and only our own
store can say why.
"""

from pathlib import Path

import pytest

from cowpath import open_site
from cowpath.catalog.glance import GlanceCatalog
from cowpath.core.errors import CopyFailedError
from cowpath.core.model import Image, ImageId
from cowpath.site import Site
from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, CephBench, kinds, why
from tests.lab.ceph.cluster import Ceph, without

pytestmark = pytest.mark.ceph

_CENTRAL = "central"
_MIB = 2**20
_READER = f"profile rbd-read-only pool={IMAGES}"


@pytest.fixture
def site(bench: CephBench, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    return open_site([bench.lab["sites"][EDGE]], cloud="lab-admin")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Image]:
    """Return what Glance says at each look of a copy's follower."""
    seen: list[Image] = []
    get = GlanceCatalog.get

    def recorded(catalog: GlanceCatalog, image: ImageId) -> Image:
        seen.append(get(catalog, image))
        return seen[-1]

    monkeypatch.setattr(GlanceCatalog, "get", recorded)
    return seen


def test_a_pool_that_glance_may_not_write_to(
    bench: CephBench, edge: Ceph, site: Site, looks: list[Image]
) -> None:
    """The first look that shows the failure is the last; the flag is old news then."""
    image = bench.upload(noise(2), store=_CENTRAL)
    with edge.may("glance", osd=_READER), pytest.raises(CopyFailedError) as caught:
        site.place(image)
    for word in (image, EDGE, "writable"):
        assert word in str(caught.value)
    flagged = [EDGE in each.failed for each in looks]
    assert flagged == [False] * (len(looks) - 1) + [True]
    assert bench.copies(image) == 1
    assert bench.show(image)["os_glance_failed_import"] == EDGE
    assert site.place(image).size == 2 * _MIB
    assert bench.copies(image) == 2
    assert bench.stores(image) == {_CENTRAL, EDGE}


def test_a_pool_that_is_full_is_not_copied_to(bench: CephBench, edge: Ceph) -> None:
    """Glance would hang in librbd and say nothing; the pool's own health does."""
    image = bench.upload(noise(2), store=_CENTRAL)
    bench.upload(noise(1), store=EDGE)
    with edge.full(IMAGES):
        ran = bench.tell("image", "place", image)
    assert ran.code == 12, ran
    for word in (image, "POOL_FULL", f"'{IMAGES}'", "quota", "none was asked for"):
        assert word in why(ran)
    assert bench.asked(image) == 0
    assert bench.tell("image", "place", image).code == 0
    assert bench.copies(image) == 1
    assert bench.stores(image) == {_CENTRAL, EDGE}


def test_a_pool_that_gets_full_in_the_midst(
    bench: CephBench, edge: Ceph, tmp_path: Path
) -> None:
    """Glance gives no sign; the stall brings what the pool's own health says."""
    image = bench.upload(noise(32), store=_CENTRAL)
    bench.upload(noise(1), store=EDGE)
    conf = bench.conf(tmp_path, copy_stall=5)
    words = ("image", "place", image)
    with edge.throttled(IMAGES, 2 * _MIB):
        first = bench.begin(tmp_path, *words, conf=conf)
        bench.until(first, event="CopyProgress", phase="storing")
        with edge.full(IMAGES):
            stalled = first.end()
    assert stalled.code == 19, stalled
    for word in (image, "POOL_FULL", f"'{IMAGES}'", "joins it"):
        assert word in why(stalled)
    # Glance goes on at once, and what it was asked for comes.
    ran = bench.tell(*words)
    assert ran.code == 0, ran
    assert bench.copies(image) == 1
    assert bench.stores(image) == {_CENTRAL, EDGE}


def test_a_cluster_that_is_away_is_not_copied_to(
    bench: CephBench, edge: Ceph, tmp_path: Path
) -> None:
    """Nothing is asked, so nothing hangs in Glance."""
    image = bench.upload(noise(2), store=_CENTRAL)
    conf = bench.conf(tmp_path, rbd_op_timeout=1)
    with without(edge, "edge-osd", "stop"):
        ran = bench.tell("image", "place", image, conf=conf)
    assert ran.code == 9, ran
    assert ran.told("LookFailed")
    assert kinds(ran) == ["CopyFailed", "Error"]
    for word in ("client.cowpath", "ceph -s"):
        assert word in why(ran)
    assert bench.asked(image) == 0
    assert bench.tell("image", "place", image).code == 0
    assert bench.copies(image) == 1


def test_an_osd_that_hangs_in_the_midst(
    bench: CephBench, edge: Ceph, tmp_path: Path
) -> None:
    """The stall is told with how far it came; the same command joins the same copy."""
    image = bench.upload(noise(32), store=_CENTRAL)
    conf = bench.conf(tmp_path, rbd_op_timeout=2, copy_stall=5)
    words = ("image", "place", image)
    with edge.throttled(IMAGES, 4 * _MIB):
        first = bench.begin(tmp_path, *words, conf=conf)
        bench.until(first, event="CopyProgress", phase="storing")
        with without(edge, "edge-osd", "pause"):
            stalled = first.end()
    assert stalled.code == 19, stalled
    last = stalled.told("CopyProgress")[-1]["present"]
    assert 0 < last < 32 * _MIB
    for word in (image, f"{last} of {32 * _MIB} bytes", "did not answer", "joins it"):
        assert word in why(stalled)
    assert stalled.told("LookFailed")
    ran = bench.tell(*words)
    assert ran.code == 0, ran
    assert "CopyAsked" not in kinds(ran)
    assert bench.copies(image) == 1
    assert bench.stores(image) == {_CENTRAL, EDGE}
