"""A store whose blocking calls run where its caller cannot be held up.

librbd blocks in C. Under eventlet that stops every green thread of a process, so
there each call runs in a native thread; who that is, the service knows (Nova: its
tpool).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol, TypeVar

from cowpath.core.model import Arrival, Base, Capacity, Image, Intake, Leftover
from cowpath.core.ports import Store

Result = TypeVar("Result")


class Offload(Protocol):
    """Runs blocking work and returns, or raises, what it does."""

    def __call__(self, work: Callable[[], Result]) -> Result:
        """Run `work` somewhere and wait for it."""
        ...


@contextmanager
def importing(threads: ModuleType | None) -> Iterator[None]:
    """Give modules that are imported meanwhile this `threading`; None: the usual one.

    Eventlet's monkey patching makes locks of green threads of everybody's. They are
    not safe between the native threads that blocking calls run in.
    """
    usual = sys.modules["threading"]
    sys.modules["threading"] = threads or usual
    try:
        yield
    finally:
        sys.modules["threading"] = usual


class Offloaded:
    """The bases and the room of a store. Implements `core.ports.Bases` and `Pool`."""

    def __init__(self, store: Store, offload: Offload) -> None:
        """Call `store` through `offload`."""
        self._store = store
        self._run = offload

    @property
    def territory(self) -> str:
        """Return what this store may read, in words."""
        return self._run(lambda: self._store.territory)

    def find_base(self, image: Image) -> Base | None:
        """Return the whole base of `image`; None while it is not here."""
        return self._run(lambda: self._store.find_base(image))

    def arrival(self, image: Image) -> Arrival | None:
        """Return what has arrived of a copy in progress; None if nothing yet."""
        return self._run(lambda: self._store.arrival(image))

    def leftover(self, image: Image) -> Leftover | None:
        """Return what lies where Glance would put `image`; None if nothing does."""
        return self._run(lambda: self._store.leftover(image))

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover out of Glance's way; return how to see and restore it."""
        return self._run(lambda: self._store.set_aside(leftover, confirm))

    def capacity(self) -> Capacity:
        """Return how much room there is and how much is free."""
        return self._run(self._store.capacity)

    def intake(self) -> Intake:
        """Return what room images have, and what keeps the store from taking bytes."""
        return self._run(self._store.intake)
