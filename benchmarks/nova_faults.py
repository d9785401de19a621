"""The same faults on Nova's own RBD backend and on Cowpath's, in one lab and one run.

Both computes of the lab of kind openstack run Nova's own program first, then
cowpath-nova-compute; everything else is the same, `_SETTINGS` included. Each fault is
played once a side. Seconds go from the request to the state that Nova leaves the server
in, by a monotonic clock; those of a rescue are the seconds that the guest was off.

    python -m benchmarks.nova_faults [--side nova] [--fault warm] [--raw FILE]

It takes eight minutes, and leaves the computes with Cowpath.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any

import requests

from tests.lab.ceph.cluster import Ceph
from tests.lab.openstack.cloud import (
    CENTRAL,
    EDGE,
    FILES,
    IMAGES,
    MEMBER,
    SITES,
    VMS,
    Cloud,
    RefusedError,
)
from tests.lab.openstack.computes import Computes, alone, service

_LAB = Path(__file__).parents[1] / "lab" / "run" / "openstack" / "lab.json"
_MIB = 2**20
_COPY_TIMEOUT_SECONDS = 60
_SETTINGS = (
    f"libvirt.images_rbd_glance_copy_timeout={_COPY_TIMEOUT_SECONDS}",
    "libvirt.snapshot_image_format=qcow2",
)
_NOVA, _OURS = "nova", "cowpath"
_READER = f"profile rbd-read-only pool={IMAGES}"
# A copy of 15 s: Nova's second look comes in the midst of what happens meanwhile.
_SLOW = int(2.2 * _MIB)
_RESTART_AFTER_SECONDS = 9
_LONG = 150
_TOLD_CHARACTERS = 110
_PREFIXES = re.compile(
    r"^(Build of instance \S+ (aborted|was re-scheduled): |Image \S+ is unacceptable: )"
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_IMAGE_FORMAT = "disk_format"
_PROGRAM = "cowpath-nova-compute"
_SECTOR = 2048
# What Glance takes for an ISO 9660 filesystem: its descriptors, and no file.
_ISO = bytes(16 * _SECTOR) + b"".join(
    (bytes([kind]) + b"CD001\1").ljust(_SECTOR, b"\0") for kind in (1, 255)
).ljust(_MIB, b"\0")


@dataclass(frozen=True, slots=True)
class Row:
    """How a fault ended on one side.

    Attributes:
        fault: Its short name.
        side: `nova` or `cowpath`.
        outcome: In a few words.
        seconds: It took; none where nothing was timed.
        fault_text: Nova's whole words to the user, or the action's.
    """

    fault: str
    side: str
    outcome: str
    seconds: float | None = None
    fault_text: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """Where a server got to."""

    server: str
    state: str
    seconds: float
    told: str

    @property
    def outcome(self) -> str:
        """Return it in a few words."""
        return f"{self.state}: {short(self.told)}" if self.told else self.state


@dataclass(slots=True)
class Stage:
    """A side of the comparison: the lab, with one program on both computes."""

    side: str
    cloud: Cloud
    computes: Computes
    proxy: str
    pool: ThreadPoolExecutor
    busy: Lock = field(default_factory=Lock)
    image: str = ""
    server: str = ""

    @property
    def settings(self) -> tuple[str, ...]:
        """Return how the computes of this side are started."""
        return (*_SETTINGS, f"glance.endpoint_override={self.proxy}")

    def restart(self, site: str) -> None:
        """Start a compute of this side."""
        self.computes.restart(site, *self.settings, stock=self.side == _NOVA)

    def check(self) -> None:
        """Fail where somebody has started other programs on the computes."""
        for site in SITES:
            ours = self.computes.runs(site, _PROGRAM)
            assert ours is (self.side == _OURS), f"compute-{site} is another program"  # noqa: S101


@dataclass(slots=True)
class Play:
    """One fault on a stage, and the servers that it made.

    Attributes:
        stage: Where.
        alone: Set when the next fault may begin: this one only waits.
    """

    stage: Stage
    alone: Event = field(default_factory=Event)
    servers: list[str] = field(default_factory=list)

    @property
    def cloud(self) -> Cloud:
        """Return the lab's cloud."""
        return self.stage.cloud

    def begin(self, image: str, site: str, **more: Any) -> Future[End]:
        """Ask for a server; the future tells where it got to."""
        begun = self.cloud.now()
        [server] = self.cloud.create(image, site, **more)
        self.servers.append(server)
        return self.watch(server, begun)

    def boot(self, image: str, site: str = EDGE, **more: Any) -> End:
        """Ask for a server, and return where it got to."""
        return self.begin(image, site, **more).result()

    def watch(self, server: str, begun: float) -> Future[End]:
        """Follow a server from another thread."""
        return self.stage.pool.submit(partial(self._end, server, begun))

    def _end(self, server: str, begun: float) -> End:
        told = self.cloud.until(server, "ACTIVE", "ERROR", within=_LONG)
        seconds = self.cloud.now() - begun
        why = str(told.get("fault", {}).get("message", ""))
        return End(server, told["status"], seconds, why)

    def storing(self, image: str) -> None:
        """Wait until bytes of an image are arriving at edge."""
        edge = self.cloud.clusters[EDGE]
        self.cloud.wait(lambda: image in edge.names(IMAGES), "the copy's bytes")

    def keep(self, server: str) -> None:
        """Leave a server to later faults."""
        self.servers.remove(server)

    def clear(self) -> None:
        """Delete the servers."""
        with self.stage.busy:
            self.cloud.delete(*self.servers)


Told = tuple[str, float | None, str]
Fault = Callable[[Play], Told]


def short(told: str) -> str:
    """Return Nova's words without what every fault has, and without ids."""
    while (rest := _PREFIXES.sub("", told)) != told:
        told = rest
    plain = " ".join(_ID.sub("ID", told).split())
    return plain if len(plain) <= _TOLD_CHARACTERS else f"{plain[:_TOLD_CHARACTERS]} …"


def _told(end: End) -> Told:
    return end.outcome, end.seconds, end.told


def cold(play: Play) -> Told:
    """Boot at edge of an image that only central has."""
    play.stage.image = play.cloud.upload(store=CENTRAL)
    end = play.boot(play.stage.image)
    if end.state == "ACTIVE":
        play.stage.server = end.server
        play.keep(end.server)
    return _told(end)


def warm(play: Play) -> Told:
    """Boot of the same image again."""
    return _told(play.boot(play.stage.image))


def copy_fails(play: Play) -> Told:
    """Glance may not write to edge's pool: it tells so in the image."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    with cloud.clusters[EDGE].may("glance", osd=_READER):
        ending = play.begin(image, EDGE)
        failed = "os_glance_failed_import"
        cloud.wait(lambda: cloud.image(image).get(failed) == EDGE, "the failure")
    play.alone.set()
    return _told(ending.result())


def member(play: Play) -> Told:
    """Glance's default policy refuses the user; either site could build the server."""
    cloud = play.cloud
    image = cloud.upload(store=FILES)
    wish = {
        "name": "bench-member",
        "imageRef": image,
        "flavorRef": "lab.tiny",
        "networks": "none",
    }
    begun = cloud.now()
    told = cloud.compute("POST", "/servers", {"server": wish}, user=MEMBER)
    server = cloud.adopt(str(told["server"]["id"]))
    play.servers.append(server)
    end = play.watch(server, begun).result()
    logs = (play.stage.computes.log(site) for site in SITES)
    mark = f"[instance: {server}] Claim successful"
    tried = sum(log.count(mark) for log in logs)
    return f"{end.outcome} ({tried} host(s) tried)", end.seconds, end.told


def two_sites(play: Play) -> Told:
    """Both sites ask for one cold image at the same moment."""
    cloud = play.cloud
    image = cloud.upload(store=FILES)
    with _slow(cloud, SITES, 8 * _MIB):
        endings = {site: play.begin(image, site) for site in SITES}
        ends = {site: ending.result() for site, ending in endings.items()}
    told = "; ".join(
        f"{site} {end.outcome} ({end.seconds:.1f} s)" for site, end in ends.items()
    )
    whole = " | ".join(end.told for end in ends.values() if end.told)
    return told, max(end.seconds for end in ends.values()), whole


@contextmanager
def _slow(cloud: Cloud, sites: Sequence[str], rate: int) -> Iterator[None]:
    """Have copies to sites go at a rate in bytes per second."""
    if not sites:
        yield
        return
    with (
        cloud.clusters[sites[0]].throttled(IMAGES, rate),
        _slow(cloud, sites[1:], rate),
    ):
        yield


def iso(play: Play) -> Told:
    """An image labelled iso."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "empty.iso")
        file.write_bytes(_ISO)
        image = play.cloud.upload(file, store=CENTRAL, disk_format="iso")
    return _told(play.boot(image))


def caching(play: Play) -> Told:
    """Pre-cache an image for edge's aggregate."""
    cloud, lab = play.cloud, play.cloud.lab
    image = cloud.upload(store=CENTRAL)
    folder = Path(lab["sites"][EDGE]["instances_path"], "_base")
    had = {*folder.glob("*")}
    size = Path(lab["guest_stay"]["raw"]).stat().st_size
    every = cloud.compute("GET", "/os-aggregates")["aggregates"]
    [number] = [each["id"] for each in every if each["name"] == EDGE]
    begun = cloud.now()

    def files() -> list[Path]:
        return [*({*folder.glob("*")} - had)]

    def is_done() -> bool:
        here = [file for file in files() if file.suffix != ".part"]
        in_file = any(file.stat().st_size >= size for file in here)
        return cloud.is_placed(image, EDGE) or in_file

    wish = {"cache": [{"id": image}]}
    cloud.compute("POST", f"/os-aggregates/{number}/images", wish)
    cloud.wait(is_done, "the cached image")
    seconds = cloud.now() - begun
    placed = cloud.is_placed(image, EDGE)
    where = "in edge's store" if placed else "not in edge's store"
    also = "; a file in _base" if files() else ""
    for file in files():
        file.unlink()
    return where + also, seconds, ""


def one_500(play: Play) -> Told:
    """Glance answers 500 once while the copy is waited for."""
    cloud, faults = play.cloud, f"{play.stage.proxy}/_faults"
    image = cloud.upload(store=CENTRAL)
    with _slow(cloud, [EDGE], _SLOW):
        ending = play.begin(image, EDGE)
        cloud.wait(lambda: cloud.copies(image) == 1, "the request for a copy")
        play.storing(image)
        once: Any = {"method": "GET", "path": image, "status": 500, "times": 1}
        requests.put(faults, json=[once], timeout=10).raise_for_status()
        end = ending.result()
    seen = requests.get(faults, timeout=10).text
    requests.delete(faults, timeout=10).raise_for_status()
    if not re.search(r'"done": ?1', seen):
        raise AssertionError(f"nobody met the 500: {seen}")
    return _told(end)


def snapshot(play: Play) -> Told:
    """snapshot_image_format is qcow2: what is the snapshot labelled, does it boot?"""
    cloud = play.cloud
    name = f"bench-snapshot-{play.stage.side}"
    cloud.act(play.stage.server, "createImage", {"name": name})
    cloud.active(play.stage.server)
    [taken] = cloud.glance("GET", f"/images?name={name}")["images"]
    image = cloud.adopt_image(taken["id"])
    cloud.wait(lambda: cloud.image(image)["status"] == "active", "the snapshot")
    end = play.boot(image)
    label = cloud.image(image)[_IMAGE_FORMAT]
    return f"labelled {label}; a server of it: {end.outcome}", end.seconds, end.told


def rescue(play: Play) -> Told:
    """Rescue with an image that only central has; a copy of eleven seconds."""
    cloud, server = play.cloud, play.stage.server
    image = cloud.upload(store=CENTRAL)
    times: list[float] = []

    def is_over() -> bool:
        runs = _runs(cloud, server)
        if runs is bool(len(times) % 2):
            times.append(cloud.now())
        return bool(cloud.server(server)["status"] == "RESCUE") and runs

    with _slow(cloud, [EDGE], 3 * _MIB):
        begun = cloud.now()
        cloud.act(server, "rescue", {"rescue_image_ref": image})
        cloud.wait(is_over, "the rescue", within=_LONG, every=0.02)
    off = sum(up - down for down, up in zip(times[::2], times[1::2], strict=True))
    total = cloud.now() - begun
    return f"rescued after {total:.0f} s; guest off for {off:.1f} s", off, ""


def _runs(cloud: Cloud, server: str) -> bool:
    with suppress(Exception):  # there is no such domain for a moment
        return cloud.domain(server, EDGE) == "running"
    return False


def glance_restarts(play: Play) -> Told:
    """Glance is stopped in the midst of a copy, ends it, and is started again."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    with _slow(cloud, [EDGE], _SLOW):
        begun = cloud.now()
        ending = play.begin(image, EDGE)
        play.storing(image)
        cloud.wait(lambda: cloud.now() - begun > _RESTART_AFTER_SECONDS, "the moment")
        service("glance", "stop")
        service("glance", "start")
        return _told(ending.result())


def switched_off(play: Play) -> Told:
    """copy-image is not among Glance's enabled_import_methods."""
    image = play.cloud.upload(store=CENTRAL)
    service("glance", "stop")
    try:
        methods = "DEFAULT.enabled_import_methods=[glance-direct]"
        service("glance", "start", "--set", methods)
        return _told(play.boot(image))
    finally:
        service("glance", "stop")
        service("glance", "start")


def evacuate(play: Play) -> Told:
    """Central's host is lost; its server is evacuated to edge, another cluster."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    cloud.place(image, EDGE)
    server = play.boot(image, CENTRAL, pinned=False).server
    cloud.lives(server, CENTRAL)
    cloud.act(server, "os-stop")
    cloud.until(server, "SHUTOFF")
    disk = f"{server}_disk"
    was = cloud.clusters[CENTRAL].digest(VMS, disk)
    with _lost(play.stage):
        begun = cloud.now()
        cloud.act(server, "evacuate", {"host": EDGE})
        told, seconds = _evacuated(play, server, begun)
        host = cloud.site_of(server)
        here = disk in cloud.clusters[host].names(VMS)
        same = here and cloud.clusters[host].digest(VMS, disk) == was
    data = "as it was" if same else "a new one of the image: what was written is gone"
    left = disk in cloud.clusters[CENTRAL].names(VMS)
    if host != CENTRAL and left:
        data += " (the old one is left at central)"
    cloud.delete(server)
    play.servers.remove(server)
    for site in SITES:
        cloud.clusters[site].drop(VMS, disk)
    how = "refused" if told else "done"
    return f"{how}; the server is at {host}, its disk is {data}", seconds, told


def _evacuated(play: Play, server: str, begun: float) -> tuple[str, float]:
    """Return why an evacuation failed, or nothing, and its seconds."""
    cloud = play.cloud
    ended: list[dict[str, Any]] = []

    def is_over() -> bool:
        ended[:] = _events(cloud, server)
        told = bool(ended) and all(each["result"] for each in ended)
        return told and not cloud.server(server)["OS-EXT-STS:task_state"]

    cloud.wait(is_over, "the evacuation", within=_LONG)
    seconds = cloud.now() - begun
    failed = [each for each in ended if each["result"] == "Error"]
    return " ".join(str(each["details"]) for each in failed), seconds


def _events(cloud: Cloud, server: str) -> list[dict[str, Any]]:
    path = f"/servers/{server}/os-instance-actions"
    made = cloud.compute("GET", path)["instanceActions"]
    request = next(each for each in made if each["action"] == "evacuate")["request_id"]
    told = cloud.compute("GET", f"{path}/{request}")
    return list(told["instanceAction"]["events"])


@contextmanager
def _lost(stage: Stage) -> Iterator[None]:
    """Have central's host down, as its operator says; it is back afterwards."""
    cloud = stage.cloud
    query = f"/os-services?binary=nova-compute&host={CENTRAL}"
    [host] = cloud.compute("GET", query)["services"]
    path = f"/os-services/{host['id']}"
    stage.computes.kill(CENTRAL)
    cloud.compute("PUT", path, {"forced_down": True})
    try:
        yield
    finally:
        # Nova refuses to force a host up that has not seen to its evacuated servers
        # yet, and one that is forced down is not up for whoever waits for it.
        coming = stage.pool.submit(stage.restart, CENTRAL)
        cloud.wait(partial(_is_up_again, cloud, path), "the host of central")
        coming.result()


def _is_up_again(cloud: Cloud, path: str) -> bool:
    with suppress(RefusedError):
        cloud.compute("PUT", path, {"forced_down": False})
        return True
    return False


# The slow ones that change nothing for others first, those that stop services last.
FAULTS: dict[str, Fault] = {
    "cold": cold,
    "warm": warm,
    "copy fails": copy_fails,
    "member": member,
    "two sites": two_sites,
    "iso": iso,
    "caching": caching,
    "snapshot": snapshot,
    "one 500": one_500,
    "rescue": rescue,
    "glance restarts": glance_restarts,
    "evacuate": evacuate,
    "switched off": switched_off,
}
# They stop what others wait for.
_ALONE = frozenset({"glance restarts", "evacuate", "switched off"})


def play_all(stage: Stage, chosen: Sequence[str], tell: Callable[[Row], None]) -> None:
    """Play faults on a side, one after the other; those that only wait go on beside."""
    for site in SITES:
        stage.restart(site)
    running: list[Future[None]] = []
    with ThreadPoolExecutor(4) as plays:
        for name in chosen:
            if name in _ALONE:
                _join(running)
            play = Play(stage)
            running.append(plays.submit(_play, play, name, tell))
            play.alone.wait()
        _join(running)
    stage.cloud.clear()


def _join(running: list[Future[None]]) -> None:
    while running:
        running.pop().result()


def _play(play: Play, name: str, tell: Callable[[Row], None]) -> None:
    """Play one fault; whatever goes wrong is its own."""
    side = play.stage.side
    try:
        outcome, seconds, told = FAULTS[name](play)
        play.stage.check()
        rounded = None if seconds is None else round(seconds, 1)
        tell(Row(name, side, outcome, rounded, told))
    except Exception as error:  # noqa: BLE001  # the others are still to be played
        traceback.print_exc()
        tell(Row(name, side, f"not played: {type(error).__name__}: {error}"[:300]))
    finally:
        with suppress(AssertionError, RefusedError):
            play.clear()
        play.alone.set()


def table(rows: Sequence[Row], version: str) -> Iterator[str]:
    """Give the lines of a table in Markdown."""
    by = {(row.fault, row.side): row for row in rows}
    yield f"| fault | Nova {version} | s | Cowpath | s |"
    yield "|---|---|---|---|---|"
    for name, fault in FAULTS.items():
        cells = [cell for side in (_NOVA, _OURS) for cell in _cells(by, name, side)]
        what = (fault.__doc__ or name).splitlines()[0].rstrip(".")
        yield f"| {' | '.join([what, *cells])} |"


def _cells(by: dict[tuple[str, str], Row], name: str, side: str) -> tuple[str, str]:
    row = by.get((name, side), Row(name, side, "not played"))
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    return row.outcome.replace("|", "\\|"), seconds


def versions(python: str) -> dict[str, str]:
    """Return the versions of what was measured."""
    home = Path(python).parents[1].glob("lib/python3*/site-packages")
    has = {d.name: d.version for d in distributions(path=[str(each) for each in home])}
    found = {name: has.get(name, "?") for name in ("nova", "glance", "cowpath")}
    return found | {"Ceph": _version("ceph", 2), "QEMU": _version("qemu-img", 2)}


def _version(program: str, word: int) -> str:
    command = [program, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    words = done.stdout.split()
    return words[word] if len(words) > word else "?"


def main() -> int:
    """Play everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=(_NOVA, _OURS), action="append")
    parser.add_argument("--fault", choices=FAULTS, action="append")
    parser.add_argument("--raw", type=Path, help="append a JSON line for each")
    asked = parser.parse_args()
    lab = json.loads(_LAB.read_text())
    with alone(lab):
        _run(lab, asked)
    return 0


def _run(lab: dict[str, Any], asked: argparse.Namespace) -> None:
    clusters = {site: Ceph(lab["sites"][site]["cluster"]) for site in SITES}
    cloud, computes = Cloud(lab, clusters), Computes(lab)
    rows: list[Row] = []

    def tell(row: Row) -> None:
        rows.append(row)
        line = json.dumps(asdict(row))
        print(f"{row.side:8} {row.fault:16} {row.seconds} {row.outcome}", flush=True)
        if asked.raw:
            with asked.raw.open("a") as file:
                file.write(f"{line}\n")

    before = cloud.listing()
    try:
        for side in asked.side or (_NOVA, _OURS):
            with ThreadPoolExecutor(8) as pool:
                stage = Stage(side, cloud, computes, lab["proxy"]["url"], pool)
                play_all(stage, asked.fault or [*FAULTS], tell)
    finally:
        with suppress(AssertionError, RefusedError):
            cloud.clear()
        for site in SITES:
            computes.restart(site)
    if cloud.listing() != before:
        print("the clusters do not list what they did before", file=sys.stderr)
    _report(rows, versions(lab["python"]))


def _report(rows: Sequence[Row], known: dict[str, str]) -> None:
    print("", *table(rows, known["nova"]), "", sep="\n")
    told = ", ".join(f"{name} {version}" for name, version in known.items())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {told}; two clusters of one OSD each; "
        f"images of 33 MiB; copy timeout {_COPY_TIMEOUT_SECONDS} s (Nova's default is "
        "600), poll interval 15 s; each fault once"
    )
    if os.environ.get("JSON") == "1":
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    sys.exit(main())
