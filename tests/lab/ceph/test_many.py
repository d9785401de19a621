"""Very many disks of one image: no error, and nothing grows that stays."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cowpath.clock import SystemClock
from cowpath.core.model import Base, disk_name
from cowpath.testing.store_fixtures import IMAGE, base_of
from tests.lab.ceph.rbd_doors import RbdDoors
from tests.lab.ceph.watched import Held, held

pytestmark = pytest.mark.ceph

_THREADS = 16
_PROCESSES = 8
_WARM = 100
"""Disks after which a process has all that it will need."""
_MIB = 2**20
_MORE_MEMORY = 48 * _MIB

_WORKER = """
import json, sys
from cowpath.core.model import Base, disk_name
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.store import RbdStore
from tests.lab.ceph.watched import held

told = json.load(sys.stdin)
told["config"]["images_pools"] = tuple(told["config"]["images_pools"])
store = RbdStore(RbdConfig(**told["config"]))
base = Base(**told["base"])
names = [disk_name(name) for name in told["names"]]
warm = None
for number, name in enumerate(names):
    store.clone(base, name, 2 * base.size)
    if number == 9:
        warm = held()
last = held()
assert len(last.sockets) <= len(warm.sockets), (warm, last)
assert last.threads <= warm.threads, (warm, last)
assert last.descriptors <= warm.descriptors, (warm, last)
assert last.memory <= warm.memory + 48 * 2**20, (warm, last)
store.close()
print(last)
"""


@pytest.fixture
def base(doors: RbdDoors) -> Base:
    return base_of(doors, IMAGE, os.urandom(_MIB))


@pytest.mark.parametrize(
    "disks", [150, pytest.param(1000, marks=pytest.mark.soak)], ids=str
)
def test_one_process_with_16_threads(
    doors: RbdDoors, base: Base, disks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, store = SystemClock(), doors.store
    names = [disk_name(f"t{number:04}") for number in range(disks)]
    with ThreadPoolExecutor(_THREADS) as pool:

        def make(some: list[str]) -> Held:
            wanted = 2 * base.size
            assert [
                disk.size
                for disk in pool.map(
                    lambda name: store.clone(base, disk_name(name), wanted),  # type: ignore[arg-type]  # bytes
                    some,
                )
            ] == [wanted] * len(some)
            return held()

        begun = clock.now()
        warm = make([*names[:_WARM]])
        last = make([*names[_WARM:]])
        took = clock.now() - begun
        with capsys.disabled():
            print(f"\n{disks} disks by 16 threads: {disks / took:.0f}/s")  # noqa: T201
            print(f"after {_WARM}: {warm}; after {disks}: {last}")  # noqa: T201
        _flat(warm, last)
        assert doors.ceph.names(doors.vms) == names
        _delete(doors, pool)


def _flat(warm: Held, last: Held) -> None:
    # Their number: one that the cluster closed is replaced.
    assert len(last.sockets) <= len(warm.sockets)
    assert last.within(warm)
    assert last.memory <= warm.memory + _MORE_MEMORY


@pytest.mark.parametrize(
    "disks", [120, pytest.param(1000, marks=pytest.mark.soak)], ids=str
)
def test_8_processes(
    doors: RbdDoors, base: Base, disks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SystemClock()
    names = [f"p{number:04}" for number in range(disks)]
    config, told = doors.config, {"image": base.image, "where": base.where}
    shared = {
        "base": {**told, "size": base.size},
        "config": {each: getattr(config, each) for each in config.__slots__},
    }
    begun = clock.now()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(_PROCESSES)
    ]

    def work(number: int) -> str:
        mine = {**shared, "names": names[number::_PROCESSES]}
        out, err = workers[number].communicate(json.dumps(mine), timeout=280)
        assert workers[number].returncode == 0, err
        return out

    with ThreadPoolExecutor(_PROCESSES) as pool:
        figures = [*pool.map(work, range(_PROCESSES))]
        took = clock.now() - begun
        with capsys.disabled():
            print(f"\n{disks} disks by 8 processes: {disks / took:.0f}/s")  # noqa: T201
            print(f"each then: {figures[0].strip()}")  # noqa: T201
        assert doors.ceph.names(doors.vms) == names
        _delete(doors, pool)


def _delete(doors: RbdDoors, pool: ThreadPoolExecutor) -> None:
    found = [disk_name(name) for name in doors.ceph.names(doors.vms)]
    assert [*pool.map(doors.store.delete, found)] == [None] * len(found)
    assert doors.notes() == {}
    assert doors.ceph.names(doors.vms) == []
