"""One follower per image and store in a process; other callers join it."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cowpath.core.errors import CowpathError

Result = TypeVar("Result")


class _Flight(Generic[Result]):
    """One piece of work under way, and how it ended."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.result: Result | None = None
        self.error: CowpathError | None = None
        self.landed = False


class Inflight(Generic[Result]):
    """Runs one piece of work per key at a time and shares its outcome.

    The first caller leads; those who come while it works wait and get the same
    result or the same `CowpathError`. If the leader is cancelled (anything else is
    raised in it, such as KeyboardInterrupt), one of the waiting callers leads anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[Result]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, of our own or of the caller we joined.

        Raises:
            CowpathError: What `work` raised in the caller that led.
        """
        while True:
            flight, leads = self._board(key)
            if leads:
                return self._lead(key, flight, work)
            flight.over.wait()
            if flight.error is not None:
                raise flight.error
            if flight.landed:
                return flight.result  # type: ignore[return-value]  # landed sets it

    def _board(self, key: Hashable) -> tuple[_Flight[Result], bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True

    def _lead(
        self, key: Hashable, flight: _Flight[Result], work: Callable[[], Result]
    ) -> Result:
        try:
            flight.result = work()
            flight.landed = True
        except CowpathError as error:
            flight.error = error
            raise
        else:
            return flight.result
        finally:
            with self._lock:
                del self._flights[key]
            flight.over.set()
