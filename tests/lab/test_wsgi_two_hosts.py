"""Two hosts with one database and the same stores, asked at the same moment."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.bench import Bench, noise
from tests.lab.glance_door import Door
from tests.lab.glance_host import Host, asked, is_over, two_hosts

pytestmark = pytest.mark.lab

_IMAGES = 5


@pytest.fixture(scope="module")
def hosts(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Host, ...]]:
    with two_hosts(bench, tmp_path_factory) as made:
        yield made


@pytest.mark.parametrize("stores", [("edge1", "edge1"), ("edge1", "edge2")])
def test_one_of_them_copies(
    hosts: tuple[Host, ...], bench: Bench, stores: tuple[str, str]
) -> None:
    """The others hear that the image is being copied, as from Glance's own.

    Or that their task lost the lock: Glance takes the lock before it saves the task,
    and whoever looks in between takes it for one that has been forgotten.
    """
    content = noise(3)
    images = [bench.upload(content) for _ in range(_IMAGES)]
    for image, answers in asked(hosts, images, stores).items():
        assert answers.keys() <= {202, 409}, answers
        assert len(bench.tasks(image)) == answers[202], image
    for image in images:
        _one_was_copied(hosts[0].door, image, b"".join(content), {*stores})
    for host in hosts:
        bench.wait(partial(_has_no_records, host), "the records' end")


def _has_no_records(host: Host) -> bool:
    return host.door.records == []


def _one_was_copied(door: Door, image: str, content: bytes, stores: set[str]) -> None:
    bench = door.bench
    bench.wait(partial(is_over, door, image), f"the end of {image}'s copies")
    ended = [door.task(task) for task, _ in bench.tasks(image)]
    [_] = [each for each in ended if each["status"] == "success"]
    lost = [each["message"] for each in ended if each["status"] != "success"]
    assert all("the import lock of image" in each for each in lost), lost
    [store] = bench.stores(image) - {"central"}
    assert store in stores
    assert bench.glance_file(image, store).read_bytes() == content
    assert door.files(image, store) == [image]
    assert [door.files(image, each) for each in stores - {store}] in ([], [[]])
    told = bench.show(image)
    assert told["os_glance_importing_to_stores"] == ""
    assert told["os_glance_failed_import"] == ""
