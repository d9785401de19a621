"""Two hosts with one database and the same stores, asked at the same moment."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Barrier

import pytest

from lab.wsgi_servers import Gunicorn
from tests.lab.bench import Bench, noise
from tests.lab.glance_door import Door
from tests.lab.glance_host import Host, ready

pytestmark = pytest.mark.lab

# A copy is not over before the last one has asked.
_SLOW = "cowpath.bandwidth=*:*=4M"
_IMAGES = 8


@pytest.fixture(scope="module")
def hosts(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Host, ...]]:
    ready()
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(Host(bench, home, Gunicorn(), (_SLOW,)).serving())
            for home in (tmp_path_factory.mktemp("host") for _ in range(2))
        )


def _answer(host: Host, image: str, store: str) -> int:
    """Ask for a copy; return what is answered."""
    how = {"method": {"name": "copy-image"}, "stores": [store]}
    try:
        host.door.bench.ask("POST", f"/v2/images/{image}/import", how)
    except AssertionError as error:
        [code] = re.findall(r", (\d{3}), b", str(error))
        return int(code)
    return 202


def _asked(
    hosts: Sequence[Host], images: Sequence[str], stores: Sequence[str]
) -> dict[str, Counter[int]]:
    """Ask each host, twice, for a copy of each image; return the answers."""
    words = [
        (host, image, store)
        for image in images
        for host, store in zip(hosts, stores, strict=True)
        for _ in range(2)
    ]
    barrier = Barrier(len(words))

    def ask(each: tuple[Host, str, str]) -> int:
        barrier.wait(60)
        return _answer(*each)

    with ThreadPoolExecutor(len(words)) as pool:
        answers = [*pool.map(ask, words)]
    found: dict[str, Counter[int]] = {image: Counter() for image in images}
    for (_, image, _), answer in zip(words, answers, strict=True):
        found[image][answer] += 1
    return found


@pytest.mark.parametrize("stores", [("edge1", "edge1"), ("edge1", "edge2")])
def test_one_of_them_copies(
    hosts: tuple[Host, ...], bench: Bench, stores: tuple[str, str]
) -> None:
    """The others hear that the image is being copied, as from Glance's own.

    Or that their task lost the lock: Glance takes the lock before it saves the task,
    and whoever looks in between takes it for one that has been forgotten.
    """
    content = noise(4)
    images = [bench.upload(content) for _ in range(_IMAGES)]
    for image, answers in _asked(hosts, images, stores).items():
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
    bench.wait(partial(_is_over, door, image), f"the end of {image}'s copies")
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


def _is_over(door: Door, image: str) -> bool:
    running = {"pending", "processing"}
    tasks = door.bench.tasks(image)
    return not door.is_locked(image) and not any(each in running for _, each in tasks)
