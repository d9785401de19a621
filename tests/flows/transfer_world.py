"""Memory stores, a clock that a test moves, and a Glance that lists what it is told."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha512

from cowpath.core.errors import CowpathError, NoSpaceError, UnavailableError
from cowpath.core.events import CopyProgress, Event, Warned
from cowpath.core.model import Bytes, Image, ImageId, Location, StoreName
from cowpath.core.ports import Observer
from cowpath.core.transfer import Draft, ImageStore, Original, Terms
from cowpath.provision.transfer import Outcomes, Transfer
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.stores.memory_copy import MemoryImageStore
from cowpath.testing.clock import FakeClock
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_faults import Step, StepStore

IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
CENTRAL, EDGE1, EDGE2 = map(StoreName, ("central", "edge1", "edge2"))
KIB = 1024
CHUNK = 4 * KIB
DATA = pattern(1, 8 * KIB) + bytes(64 * KIB) + pattern(2, 10 * KIB) + bytes(100)
"""Data of 5 requests."""
REQUESTS = 5
GONE = UnavailableError("osd.3 does not answer")
FULL = NoSpaceError("full")
FILLED = 18 * KIB + 100
"""Bytes of those requests."""


@dataclass
class Notes:
    """An observer that keeps what it is told."""

    events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def progress(self) -> list[CopyProgress]:
        return [each for each in self.events if isinstance(each, CopyProgress)]

    def warnings(self) -> list[str]:
        return [each.text for each in self.events if isinstance(each, Warned)]


class TransferWorld:
    """Three sites; the first has the image."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.clock = FakeClock()
        self.notes = Notes()
        self.listed: dict[StoreName, Location] = {}
        self.memories = {
            name: MemoryStore(MemoryConfig(name, Bytes(1024**3)))
            for name in (CENTRAL, EDGE1, EDGE2)
        }
        self.stores: dict[StoreName, ImageStore] = {
            name: MemoryImageStore(memory) for name, memory in self.memories.items()
        }
        self.terms = Terms(lanes=1, chunk=Bytes(CHUNK))
        self.costs: Mapping[StoreName, float] = {}
        self.put(CENTRAL)

    def put(self, store: StoreName, data: bytes | None = None) -> None:
        self.memories[store].put(IMAGE, self.data if data is None else data)

    def image(self, *stores: StoreName) -> Image:
        return Image(
            IMAGE,
            "debian",
            size=Bytes(len(self.data)),
            stores=frozenset(stores or (CENTRAL,)),
            hash=f"sha512:{sha512(self.data).hexdigest()}",
        )

    def watch(self, store: StoreName, step: Step) -> None:
        """Have every step in a store told."""
        self.stores[store] = StepStore(self.stores[store], step)

    def restart(self, store: StoreName) -> None:
        """Have what was watched watched no more, as if by another process."""
        self.stores[store] = MemoryImageStore(self.memories[store])

    def transfer(self, observer: Observer | None = None) -> Transfer:
        return Transfer(
            self.stores,
            self.costs,
            lambda _source, _target: self.terms,
            self.clock,
            observer or self.notes,
        )

    def copy(
        self,
        *targets: StoreName,
        image: Image | None = None,
        all_or_none: bool = False,
        observer: Observer | None = None,
    ) -> Outcomes:
        return self.transfer(observer).copy(
            image or self.image(),
            targets or (EDGE1,),
            all_or_none=all_or_none,
            register=self.add,
            unregister=self.drop,
        )

    def add(self, store: StoreName, location: Location) -> None:
        self.listed[store] = location

    def drop(self, store: StoreName, _location: Location) -> None:
        del self.listed[store]

    def has(self, store: StoreName) -> bytes | None:
        return self.memories[store].content(IMAGE)

    def drafts(self) -> set[StoreName]:
        return {name for name, each in self.memories.items() if each.drafts}

    def check_clean(self, *stores: StoreName) -> None:
        """Nothing of a copy is left there."""
        for store in stores:
            assert self.has(store) is None
            assert not self.memories[store].drafts
            assert store not in self.listed


def error_of(outcome: Location | CowpathError) -> CowpathError:
    assert isinstance(outcome, CowpathError), outcome
    return outcome


def counted(steps: Iterable[str], what: str) -> int:
    return sum(step == what for step in steps)


class Fails:
    """A step that fails from its `first` call of one kind on, for `times` calls."""

    def __init__(self, what: str, error: BaseException, first: int = 1) -> None:
        self._what = what
        self._error = error
        self._left = first
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step == self._what:
            self._left -= 1
            if self._left <= 0:
                raise self._error


def watched() -> Fails:
    return Fails("never", GONE)


class Sometimes:
    """A step that fails once, at one of its calls."""

    def __init__(self, what: str, error: CowpathError, at: int) -> None:
        self._what = what
        self._error = error
        self._left = at

    def __call__(self, step: str) -> None:
        if step == self._what:
            self._left -= 1
            if not self._left:
                raise self._error


class Clinging(StepStore):
    """A store that does not close what it opened."""

    def __init__(self, store: ImageStore) -> None:
        super().__init__(store, lambda _step: None)

    @contextmanager
    def original(self, image: Image, terms: Terms) -> Iterator[Original]:
        with super().original(image, terms) as original:
            yield original
        raise GONE

    @contextmanager
    def draft(self, image: Image, terms: Terms) -> Iterator[Draft]:
        with super().draft(image, terms) as draft:
            yield draft
        raise GONE


class Blind:
    """A store whose checksums cannot be had just now."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step == "differing":
            raise UnavailableError("no checksums")
