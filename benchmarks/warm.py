"""Warm create on RBD: a disk of an image that is here, beside bare librbd and Nova.

What is measured, on the edge cluster of the lab of kind ceph, Glance apart:

cowpath   `create_disk` and the disk's XML: clone, mark, grow
limit     the same four librbd calls on one open connection and one open image:
          clone, metadata_set, resize, close
per-step  the same calls, a connection for each step, and `ceph mon dump` for the XML,
          as Nova does it

One run of every method after the other in each round, beginning with another one each
time, so that whatever else the machine does meets all of them alike; medians over the
rounds, ratios within the run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import rados
import rbd

from benchmarks.cold_clusters import Cluster as Administered
from benchmarks.cold_clusters import new_id
from benchmarks.signals import leave_in_order
from cowpath.clock import SystemClock
from cowpath.core.model import Bytes, DiskName, Image, ImageId, Patience, StoreName
from cowpath.core.ports import SitePorts
from cowpath.hypervisor.config import LibvirtConfig
from cowpath.hypervisor.when_needed import WhenNeeded
from cowpath.observers.silence import Silence
from cowpath.provision.disks import create_disk
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.store import RbdStore

_LAB = Path(__file__).parents[1] / "lab" / "run" / "ceph" / "lab.json"
_EDGE = StoreName("edge")
_IMAGE_BYTES = 64 * 1024**2
_DISK_BYTES = Bytes(1024**3)
_THREADS = 16
_THREAD_ROUNDS = 6
_KEY = "cowpath.disk"
_REPORTED = ("cowpath_over_limit", "per_step_connection_over_cowpath", "clones_per_s")

Methods = dict[str, Callable[[str], None]]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The lab's edge cluster.

    Attributes:
        conf: What a compute host has as ceph.conf.
    """

    conf: str

    @contextmanager
    def connected(self) -> Iterator[rados.Rados]:
        """Give a connection of a compute host."""
        client = rados.Rados(rados_id="cowpath", conffile=self.conf)
        client.connect()
        try:
            yield client
        finally:
            client.shutdown()

    @contextmanager
    def pool(self, name: str) -> Iterator[rados.Ioctx]:
        """Give a pool over a connection of its own."""
        with self.connected() as client, closing(client.open_ioctx(name)) as pool:
            yield pool


class Limit:
    """Bare librbd on one open connection."""

    def __init__(self, images: rados.Ioctx, disks: rados.Ioctx, base: str) -> None:
        self._images, self._disks, self._base = images, disks, base

    def __call__(self, name: str) -> None:
        """Make a disk."""
        rbd.RBD().clone(self._images, self._base, "snap", self._disks, name)
        with rbd.Image(self._disks, name) as opened:
            mark = {"image": self._base, "rbd_id": opened.id()}
            opened.metadata_set(_KEY, json.dumps(mark))
            opened.resize(_DISK_BYTES)


class PerStep:
    """A connection for each step and a process for the monitors, as Nova has it."""

    def __init__(self, cluster: Cluster, base: str) -> None:
        self._cluster, self._base = cluster, base

    def __call__(self, name: str) -> None:
        """Make a disk."""
        with self._cluster.connected() as client:
            client.get_fsid()
        with (
            self._cluster.pool("images") as images,
            rbd.Image(images, self._base, snapshot="snap", read_only=True),
        ):
            pass
        with (
            self._cluster.pool("images") as images,
            self._cluster.pool("vms") as disks,
        ):
            rbd.RBD().clone(images, self._base, "snap", disks, name)
        with self._cluster.pool("vms") as disks, rbd.Image(disks, name) as opened:
            mark = {"image": self._base, "rbd_id": opened.id()}
            opened.metadata_set(_KEY, json.dumps(mark))
        with self._cluster.pool("vms") as disks, rbd.Image(disks, name) as opened:
            opened.size()
            opened.resize(_DISK_BYTES)
        dump = ["ceph", "-c", self._cluster.conf, "--id", "cowpath"]
        subprocess.run(  # noqa: S603  # the peer's own command
            [*dump, "mon", "dump", "--format=json"], check=True, capture_output=True
        )


def cowpath(cluster: Cluster, base: str) -> Callable[[str], None]:
    """Return what makes a disk by the verbs, Glance apart."""
    store = RbdStore(RbdConfig(_EDGE, "vms", ("images",), cluster.conf, "cowpath"))
    nobody: Any = None
    ports = SitePorts(
        store=_EDGE,
        catalog=nobody,
        bases=store,
        disks=store,
        pool=store,
        hypervisor=WhenNeeded(LibvirtConfig()),
        ways=(),
        placer=nobody,
        patience=Patience(),
        clock=SystemClock(),
        observer=Silence(),
    )
    size, stores = Bytes(_IMAGE_BYTES), frozenset({_EDGE})
    image = Image(ImageId(base), "bench", size=size, stores=stores)

    def make(name: str) -> None:
        disk = create_disk(image, DiskName(name), ports, size=_DISK_BYTES)
        ports.hypervisor.disk_xml(disk)

    return make


def one_by_one(methods: Methods, rounds: int) -> dict[str, float]:
    """Return the median seconds of each method."""
    took: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds):
        for name, make in _turned(methods, number):
            begun = perf_counter()
            make(f"bench-{name}-{number}")
            took[name].append(perf_counter() - begun)
    return {name: median(seconds) for name, seconds in took.items()}


def _turned(methods: Methods, number: int) -> list[tuple[str, Callable[[str], None]]]:
    """Return the methods, beginning with another one in every round."""
    order = list(methods.items())
    first = number % len(order)
    return order[first:] + order[:first]


def in_threads(methods: Methods, rounds: int, disks: int) -> dict[str, float]:
    """Return the median disks per second of each method with 16 threads."""
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds):
        for name, make in _turned(methods, number):
            names = [f"bench-{name}-t{number}-{disk}" for disk in range(disks)]
            begun = perf_counter()
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(make, names))
            rates[name].append(disks / (perf_counter() - begun))
    return {name: median(rate) for name, rate in rates.items()}


def make_base(edge: Administered) -> str:
    """Make an image as Glance would and return its id."""
    base = new_id()
    with edge.pool("images") as images:
        rbd.RBD().create(images, base, _IMAGE_BYTES, order=23)
        with rbd.Image(images, base) as opened:
            opened.write(os.urandom(1024**2) * 16, 0)
            opened.create_snap("snap")
            opened.protect_snap("snap")
    return base


def clean(edge: Administered) -> None:
    """Remove the disks and the base of this and of killed runs."""
    with edge.pool("vms") as disks:
        names = [name for name in rbd.RBD().list(disks) if name.startswith("bench-")]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda name: rbd.RBD().remove(disks, name), names))
    edge.sweep()


def measure(cluster: Cluster, base: str, rounds: int, disks: int) -> dict[str, float]:
    """Return every figure of a run."""
    with (
        cluster.connected() as client,
        closing(client.open_ioctx("images")) as images,
        closing(client.open_ioctx("vms")) as vms,
    ):
        quick: Methods = {
            "cowpath": cowpath(cluster, base),
            "limit": Limit(images, vms, base),
        }
        every: Methods = {**quick, "per-step": PerStep(cluster, base)}
        for name, make in every.items():
            make(f"bench-{name}-warm-up")
        single = one_by_one(every, rounds)
        threads = in_threads(quick, _THREAD_ROUNDS, disks)
    return {
        **{f"{name}_ms": seconds * 1000 for name, seconds in single.items()},
        **{f"{name}_per_s_{_THREADS}_threads": rate for name, rate in threads.items()},
        "cowpath_over_limit": single["cowpath"] / single["limit"],
        "per_step_connection_over_cowpath": single["per-step"] / single["cowpath"],
        "clones_per_s": threads["cowpath"],
        "threads_over_limit": threads["cowpath"] / threads["limit"],
    }


def main() -> int:
    """Measure, print, and end with one JSON line if JSON=1."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--disks", type=int, default=96, help="for 16 threads")
    chosen = parser.parse_args()
    told = json.loads(_LAB.read_text())["clusters"]["edge"]
    with closing(Administered("edge", told)) as edge:
        clean(edge)
        base = make_base(edge)
        try:
            figures = measure(Cluster(told["conf"]), base, chosen.rounds, chosen.disks)
        finally:
            clean(edge)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, librbd {rbd.RBD().version()}, one cluster of "
        f"one OSD on this machine; medians of {chosen.rounds} rounds"
    )
    for name, value in figures.items():
        print(f"  {name:36} {value:8.2f}")
    if os.environ.get("JSON") == "1":
        wanted = (
            "cowpath_over_limit",
            "per_step_connection_over_cowpath",
            "clones_per_s",
        )
        print(json.dumps({name: round(figures[name], 3) for name in wanted}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
