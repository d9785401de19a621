"""Two hosts with one database and the same clusters, asked at the same moment."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import CephBench
from tests.lab.ceph.door_bench import CENTRAL, EDGE, DoorBench
from tests.lab.glance_host import Host, asked, is_over, two_hosts

pytestmark = pytest.mark.ceph

_IMAGES = 4
_FILES = "files"


@pytest.fixture(scope="module")
def hosts(
    bench: CephBench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Host, ...]]:
    with two_hosts(bench, tmp_path_factory) as made:
        yield made


@pytest.mark.parametrize("stores", [(EDGE, EDGE), (EDGE, _FILES)])
def test_one_of_them_copies(
    hosts: tuple[Host, ...], bench: CephBench, stores: tuple[str, str]
) -> None:
    """As on file stores: nothing of the others' is left in a pool."""
    content = noise(3)
    images = [bench.upload(content, store=CENTRAL) for _ in range(_IMAGES)]
    with closing(DoorBench(bench)) as door:
        strangers = {site: pool.strangers() for site, pool in door.pools.items()}
        for image, answers in asked(hosts, images, stores).items():
            assert answers.keys() <= {202, 409}, answers
            assert len(bench.tasks(image)) == answers[202], image
        for image in images:
            bench.wait(partial(is_over, hosts[0].door, image), f"the end of {image}")
            _one_was_copied(door, image, {*stores})
        drafts = {f"rbd_id.cowpath-copy-{image}" for image in images}
        for site, pool in door.pools.items():
            assert pool.strangers() == strangers[site]
            assert not drafts & pool.everything()


def _one_was_copied(door: DoorBench, image: str, stores: set[str]) -> None:
    bench = door.bench
    states = [state for _, state in bench.tasks(image)]
    assert states.count("success") == 1, states
    [store] = bench.stores(image) - {CENTRAL}
    assert store in stores
    if store == EDGE:
        door.is_whole(image, EDGE)
    else:
        assert not door.pools[EDGE].id_of(image)
    told = bench.show(image)
    assert told["os_glance_importing_to_stores"] == ""
    assert told["os_glance_failed_import"] == ""
