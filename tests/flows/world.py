"""A Glance, its sites and their guests, all in memory and in made-up time."""

from collections.abc import Iterator
from itertools import groupby

from cowpath.core.errors import ConflictError, CowpathError
from cowpath.core.events import CopyProgress, Event, LeftoverSetAside
from cowpath.core.model import (
    Bytes,
    Disk,
    Guest,
    Image,
    ImageId,
    Patience,
    StoreName,
)
from cowpath.core.ports import Catalog, SitePorts
from cowpath.provision.ways.ask_glance import AskGlance
from cowpath.provision.ways.following import Target
from cowpath.site import Site
from cowpath.stores.elsewhere import ElsewhereBases
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_scripts import Pace, Verb
from cowpath.testing.glance_simulator import GlanceSimulator

CENTRAL, EDGE, SIMILAR = StoreName("central"), StoreName("edge1"), StoreName("edge10")
STORES = (CENTRAL, EDGE, StoreName("edge2"), SIMILAR)
MIB = 2**20
GIB = 2**30


class Guests:
    """A hypervisor that runs nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.defined: dict[str, Guest] = {}
        self.refusals: dict[str, CowpathError] = {}
        """What a step raises, by the step's name."""
        self.writes: tuple[bytes, ...] = ()
        """What a guest writes to its console."""

    def disk_xml(self, disk: Disk) -> str:
        return f"<disk name='{disk.name}'/>"

    def check_name(self, name: str) -> None:
        if name in self.defined:
            raise ConflictError(f"a domain {name} exists")

    def start(self, guest: Guest) -> None:
        self._step("start", guest.name)
        self.defined[guest.name] = guest

    def resume(self, name: str) -> None:
        self._step("resume", name)

    def console(self, name: str) -> Iterator[bytes]:
        self._step("console", name)
        return iter(self.writes)

    def discard(self, name: str) -> None:
        self._step("discard", name)
        self.defined.pop(name, None)

    def _step(self, step: str, name: str) -> None:
        self.log.append(f"{step} {name}")
        if step in self.refusals:
            raise self.refusals[step]


class World:
    """One simulated Glance and a memory store for each of its sites."""

    def __init__(
        self, *, patience: Patience | None = None, pace: Pace | None = None
    ) -> None:
        self.clock = FakeClock()
        self.patience = patience or Patience()
        self.min_free: Bytes | None = None
        self.repair = False
        self.told: list[Event] = []
        self.guests = Guests()
        self.stores = {name: MemoryStore(MemoryConfig(name)) for name in STORES}
        self.glance = GlanceSimulator(
            self.clock, pace=pace, sink=self._arrive, locate=self._locate
        )

    @property
    def edge(self) -> MemoryStore:
        """The store of the site that most tests are at."""
        return self.stores[EDGE]

    def ports(
        self,
        at: StoreName = EDGE,
        *,
        catalog: Catalog | None = None,
        store: MemoryStore | None = None,
    ) -> SitePorts:
        """Return the ports of one site, as wiring does."""
        asked, local = catalog or self.glance, store or self.stores[at]
        here = Target(at, local, local, min_free=self.min_free, repair=self.repair)

        def target(name: StoreName) -> Target:
            return here if name == at else Target(name, ElsewhereBases(name))

        way = AskGlance(at, target, asked, self.patience, self.clock, self)
        return SitePorts(
            store=at,
            catalog=asked,
            bases=local,
            disks=local,
            pool=local,
            hypervisor=self.guests,
            ways=(way,),
            placer=way,
            patience=self.patience,
            clock=self.clock,
            observer=self,
        )

    def site(
        self,
        at: StoreName = EDGE,
        *,
        catalog: Catalog | None = None,
        store: MemoryStore | None = None,
    ) -> Site:
        """Return one site."""
        return Site(self.ports(at, catalog=catalog, store=store))

    def tell(self, event: Event) -> None:
        """Take note of an event of any site."""
        self.told.append(event)
        if isinstance(event, LeftoverSetAside):
            # As for the real Glance: nothing lies there, so it writes there again.
            store = event.leftover.where.split("/")[2]
            self.glance.remove_leftover(event.leftover.image, store)

    def all(self, *kinds: type[Event]) -> list[Event]:
        """Return the events of some kinds, in order."""
        return [event for event in self.told if isinstance(event, kinds)]

    def story(self) -> list[str]:
        """Return the events' names; of progress only each new phase."""
        names = [
            str(event.phase)
            if isinstance(event, CopyProgress)
            else type(event).__name__
            for event in self.told
        ]
        return [name for name, _ in groupby(names)]

    def asked(self) -> list[Verb]:
        """Return the requests that Glance got, in order."""
        return [request.verb for request in self.glance.requests]

    def tasks(self) -> int:
        """Return how many imports Glance ever accepted, from anybody."""
        return len(self.glance._imports._tasks)

    def seen(self, image: Image) -> Image:
        """Return the image as Glance has it, without a request."""
        self.glance.advance()
        return self.glance._records[image.id].shown(self.clock.now())

    def _arrive(self, image: ImageId, store: StoreName, present: Bytes | None) -> None:
        if present is None:
            self.stores[store].remove(image)
        else:
            self.stores[store].put(image, size=present)

    def _locate(self, image: ImageId, store: StoreName) -> str:
        return self.stores[store].location(image).url
