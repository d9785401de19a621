"""Where the faults inside Nova are played, and what is told of each."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock
from typing import Any

from tests.lab.openstack.cloud import EDGE, IMAGES, SITES, Cloud
from tests.lab.openstack.computes import Computes

COPY_TIMEOUT_SECONDS = 60
_SETTINGS = (
    f"libvirt.images_rbd_glance_copy_timeout={COPY_TIMEOUT_SECONDS}",
    "libvirt.snapshot_image_format=qcow2",
)
NOVA, OURS = "nova", "cowpath"
LONG_SECONDS = 150
_TOLD_CHARACTERS = 110
_PREFIXES = re.compile(
    r"^(Build of instance \S+ (aborted|was re-scheduled): |Image \S+ is unacceptable: )"
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_PROGRAM = "cowpath-nova-compute"


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
        self.computes.restart(site, *self.settings, stock=self.side == NOVA)

    def check(self) -> None:
        """Fail where somebody has started other programs on the computes."""
        for site in SITES:
            ours = self.computes.runs(site, _PROGRAM)
            assert ours is (self.side == OURS), f"compute-{site} is another program"  # noqa: S101


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
        told = self.cloud.until(server, "ACTIVE", "ERROR", within=LONG_SECONDS)
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


def told_of(end: End) -> Told:
    """Return what is told of a server that got somewhere."""
    return end.outcome, end.seconds, end.told


MIB = 2**20
# A copy of 15 s: Nova's second look comes in the midst of what happens meanwhile.
SLOW = int(2.2 * MIB)


@contextmanager
def slow(cloud: Cloud, sites: Sequence[str], rate: int) -> Iterator[None]:
    """Have copies to sites go at a rate in bytes per second."""
    if not sites:
        yield
        return
    with (
        cloud.clusters[sites[0]].throttled(IMAGES, rate),
        slow(cloud, sites[1:], rate),
    ):
        yield
