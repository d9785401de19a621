"""One follower per image and store in a process; other callers join it."""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from cowpath.core.errors import CowpathError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class _Flight(Generic[Result]):
    """One piece of work under way, and how it ended; None: it was cancelled."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.outcome: Result | CowpathError | None = None


class Inflight(Generic[Key, Result]):
    """Works on every key once at a time and shares each one's outcome.

    The first caller leads; those who come while it works wait and get the same
    result or the same `CowpathError`. If the leader is cancelled (anything else is
    raised in it, such as KeyboardInterrupt), one of the waiting callers leads anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Key, _Flight[Result]] = {}

    def run(
        self,
        keys: Iterable[Key],
        work: Callable[[tuple[Key, ...]], Mapping[Key, Result | CowpathError]],
    ) -> dict[Key, Result | CowpathError]:
        """Return the outcome of each key, of our own work or of who came first.

        Args:
            keys: Those that nobody works on yet are ours to lead, together.
            work: Is given those and returns an outcome for each.
        """
        open_keys = tuple(dict.fromkeys(keys))
        found: dict[Key, Result | CowpathError] = {}
        while open_keys:
            others: dict[Key, _Flight[Result]] = {}
            mine: dict[Key, _Flight[Result]] = {}
            try:
                self._board(open_keys, mine, others)
                if mine:
                    found |= self._lead(mine, work)
            finally:
                self._land(mine)
            for key, flight in others.items():
                flight.over.wait()
                if flight.outcome is not None:
                    found[key] = flight.outcome
            open_keys = tuple(key for key in open_keys if key not in found)
        return found

    def _board(
        self,
        keys: tuple[Key, ...],
        mine: dict[Key, _Flight[Result]],
        others: dict[Key, _Flight[Result]],
    ) -> None:
        """Fill in who works on which keys; ours are known to the caller before."""
        with self._lock:
            others |= {key: self._flights[key] for key in keys if key in self._flights}
            mine |= {key: _Flight() for key in keys if key not in others}
            self._flights |= mine

    def _lead(
        self,
        mine: Mapping[Key, _Flight[Result]],
        work: Callable[[tuple[Key, ...]], Mapping[Key, Result | CowpathError]],
    ) -> Mapping[Key, Result | CowpathError]:
        outcomes = work(tuple(mine))
        for key, flight in mine.items():
            flight.outcome = outcomes[key]
        return outcomes

    def _land(self, mine: Mapping[Key, _Flight[Result]]) -> None:
        with self._lock:
            for key, flight in mine.items():
                if self._flights.get(key) is flight:
                    del self._flights[key]
        for flight in mine.values():
            flight.over.set()
