"""Second and later disks: one request to Glance, nothing new to Ceph, no process."""

import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from cowpath import open_site
from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, CephBench
from tests.lab.ceph.watched import connections_to, held

pytestmark = pytest.mark.ceph

_PROCESSES = {
    "subprocess.Popen",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.system",
}


class _Heard:
    """What Python's audit hooks tell of processes; a hook cannot be removed."""

    def __init__(self) -> None:
        self.on = False
        self.processes: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: tuple[object, ...]) -> None:
        if self.on and event in _PROCESSES:
            self.processes.append(event)


@pytest.fixture
def heard() -> Iterator[_Heard]:
    made = _Heard()
    yield made
    made.on = False


def test_later_disks(
    bench: CephBench, monkeypatch: pytest.MonkeyPatch, heard: _Heard
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    image = bench.upload(noise(1), store=EDGE)
    site = open_site([bench.lab["sites"][EDGE]], cloud="lab-admin")
    site.create_disk(image, bench.name(), "2M")
    names = [bench.name() for _ in range(4)]
    glance = urlsplit(bench.lab["glance"]["url"]).port
    assert glance
    asked, before, to_glance = len(bench.log()), held(), connections_to(glance)
    assert to_glance
    heard.on = True
    disks = [site.create_disk(image, name, "2M") for name in names]
    shown = [site.disk_xml(disk) for disk in disks]
    grown = [site.grow_disk(name, "3M").size for name in names]
    after, to_glance_after = held(), connections_to(glance)
    heard.on = False
    requests = [line.rsplit(" ", 4)[0] for line in bench.log()[asked + 1 :]]
    assert requests == [f"GET /images/{image}"] * len(names)
    assert heard.processes == []
    assert to_glance_after == to_glance
    # Their number: one that a cluster closed is replaced.
    assert len(after.sockets) <= len(before.sockets)
    assert after.threads <= before.threads
    assert after.descriptors == before.descriptors
    assert grown == [3 * 2**20] * len(names)
    assert all('protocol="rbd"' in xml or "protocol='rbd'" in xml for xml in shown)
    for name in names:
        site.delete_disk(name)
    assert len(held().sockets) <= len(before.sockets)
