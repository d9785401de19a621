"""Many want one image at once: sites, processes, threads. One copy for each store."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cowpath import open_site
from cowpath.core.events import CopyAsked, CopyFinished, DiskMade, Event
from tests.lab.bench import EDGE, Bench, Ran, finished, noise
from tests.lab.proxy import Proxy

pytestmark = pytest.mark.lab

_MIB = 2**20
_JSON = {"COWPATH_PROGRESS": "json"}


@pytest.fixture
def proxy(lab: dict[str, Any]) -> Iterator[Proxy]:
    made = Proxy(lab["proxy"]["url"])
    made.clear()
    yield made
    made.clear()


def _together(
    bench: Bench, proxy: Proxy, image: str, tmp_path: Path, sites: list[str]
) -> list[Ran]:
    """Make a disk at each site, all asking for their copies at the same moment."""
    ask = f"POST /v2/images/{image}/import"
    # Each request for a copy waits at the proxy until all of them have come there.
    proxy.set({"method": "POST", "path": f"{image}/import", "delay_seconds": 60})
    with ExitStack() as stack:
        running = []
        for site in sites:
            folder = tmp_path / site
            folder.mkdir()
            conf = proxy.site(bench.lab["sites"][site], folder)
            words = ("disk", "create", image, bench.name(site), "--json")
            started = bench.start(*words, conf=conf, **_JSON)
            stack.callback(started.kill)
            running.append(stack.enter_context(started))
        bench.wait(lambda: proxy.counts()[ask] == len(sites), "all the requests")
        proxy.clear()
        return [finished(each) for each in running]


def test_two_sites_at_the_same_moment(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    """The one that Glance turns away queues for the lock, then asks for its own."""
    image = bench.upload(noise(24))
    ran = _together(bench, proxy, image, tmp_path, [EDGE, "edge2"])
    assert [each.code for each in ran] == [0, 0], ran
    assert bench.copies(image) == 2
    assert bench.stores(image) == {"central", EDGE, "edge2"}
    asked = [[line["store"] for line in each.told("CopyAsked")] for each in ran]
    assert asked == [[EDGE], ["edge2"]]
    queued = [_queued_behind(each) for each in ran]
    # One queued, and knew behind whom.
    assert queued in ([set(), {EDGE}], [{"edge2"}, set()])
    for site in (EDGE, "edge2"):
        assert bench.base(image, site).samefile(bench.glance_file(image, site))


def _queued_behind(ran: Ran) -> set[str]:
    queued = [each for each in ran.told("CopyProgress") if each["phase"] == "queued"]
    return {store for each in queued for store in each["behind"]}


def test_one_request_for_two_stores(bench: Bench) -> None:
    image = bench.upload(noise(8))
    stores = ("--store", EDGE, "--store", "edge2")
    before = bench.copy_requests()
    ran = bench.run("image", "place", image, *stores, "--json", **_JSON)
    assert ran.code == 0, ran
    assert bench.copy_requests() - before == bench.copies(image) == 1
    assert bench.stores(image) == {"central", EDGE, "edge2"}
    assert [*ran.document["placed"]] == [EDGE, "edge2"]
    assert ran.document["failed"] == {}
    asked = [each["store"] for each in ran.told("CopyAsked")]
    done = [each["store"] for each in ran.told("CopyFinished")]
    assert (asked, sorted(done)) == ([EDGE, "edge2"], [EDGE, "edge2"])


@pytest.mark.parametrize("many", [8, pytest.param(30, marks=pytest.mark.soak)], ids=str)
def test_processes_at_one_site(bench: Bench, many: int) -> None:
    image = bench.upload(noise(32))
    names = [bench.name() for _ in range(many)]
    before = bench.copy_requests()
    with ExitStack() as stack:
        running = []
        for name in names:
            words = ("disk", "create", image, name, "--json")
            started = bench.start(*words, **_JSON)
            stack.callback(started.kill)
            running.append(stack.enter_context(started))
        with ThreadPoolExecutor(len(names)) as pool:
            ran = [*pool.map(finished, running)]
    assert [each.code for each in ran] == [0] * many, ran
    made = Counter(each.document["name"] for each in ran)
    assert made == Counter(names)
    assert bench.copies(image) == 1
    # Glance turned away whoever asked in the same moment; nobody else asked.
    assert bench.copy_requests() - before <= many
    asked = sum(len(each.told("CopyAsked")) for each in ran)
    assert asked == 1
    assert {each.document["base"] for each in ran} == {str(bench.base(image))}
    assert [line for each in ran for line in each.told("Error")] == []
    _delete(bench, names)


def test_two_hundred_threads_of_one_process(
    bench: Bench,
    lab: dict[str, Any],
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Diary:
        def __init__(self) -> None:
            self.told: list[tuple[int, Event]] = []

        def tell(self, event: Event) -> None:
            self.told.append((threading.get_ident(), event))

        def count(self, kind: type[Event]) -> int:
            return sum(isinstance(event, kind) for _, event in self.told)

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", lab["clouds_yaml"])
    image, diary = bench.upload(noise(8)), Diary()
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    find, ask = f"GET /v2/images/{image}", f"POST /v2/images/{image}/import"
    proxy.set({"method": "POST", "path": f"{image}/import", "delay_seconds": 60})
    names = [bench.name() for _ in range(200)]
    with (
        open_site([conf], cloud="lab-admin", observer=diary) as site,
        proxy.counted() as came,
        ThreadPoolExecutor(len(names)) as pool,
    ):
        made = pool.map(lambda name: site.create_disk(image, name), names)
        # The copy begins when all of them know that the image is not here.
        bench.wait(lambda: proxy.counts()[find] >= len(names), "all the callers")
        proxy.clear()
        disks = [*made]
    assert sorted(disk.name for disk in disks) == sorted(names)
    assert {disk.base for disk in disks} == {str(bench.base(image))}
    assert (came[ask], bench.copies(image)) == (1, 1)
    assert [diary.count(kind) for kind in (CopyAsked, CopyFinished)] == [1, 1]
    assert diary.count(DiskMade) == len(names)
    # One looked for the image after its first look; what it saw, it told all others.
    copying = {who for who, event in diary.told if isinstance(event, CopyAsked)}
    followed = {who for who, event in diary.told if isinstance(event, CopyFinished)}
    assert copying == followed
    # Each follower would look at least once.
    assert 1 <= came[find] - len(names) < 40
    _delete(bench, names)


def _delete(bench: Bench, names: list[str]) -> None:
    """Delete many disks in one process; a process for each takes its time."""
    with open_site([bench.lab["sites"][EDGE]]) as site:
        for name in names:
            site.delete_disk(name)


def test_a_store_whose_name_begins_as_ours_is_another_store(bench: Bench) -> None:
    """For `edge1`, that `edge10` has an image means nothing."""
    content = noise(2)
    image, name = bench.upload(content, store="edge10"), bench.name()
    assert bench.stores(image) == {"edge10"}
    assert not bench.glance_file(image).exists()
    ran = bench.run("disk", "create", image, name, "--json", **_JSON)
    assert ran.code == 0, ran
    assert [each["store"] for each in ran.told("CopyAsked")] == [EDGE]
    assert bench.copies(image) == 1
    assert bench.stores(image) == {"edge10", EDGE}
    assert bench.glance_file(image).read_bytes() == b"".join(content)
    assert bench.base(image).samefile(bench.glance_file(image))
    assert not bench.base(image).samefile(bench.glance_file(image, "edge10"))
