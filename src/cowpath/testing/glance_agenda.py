"""What a simulated service has still to do, in the order of time."""

import heapq
from collections.abc import Callable

from cowpath.core.model import Seconds


class Agenda:
    """Actions and when they are due; those of one moment in the order they came."""

    def __init__(self, now: Seconds) -> None:
        """Begin with nothing to do at `now`."""
        self.now = now
        self._actions: list[tuple[Seconds, int, Callable[[], object]]] = []
        self._numbers = 0
        self._advancing = False

    def number(self) -> int:
        """Return a number that was not used yet."""
        self._numbers += 1
        return self._numbers

    def at(self, when: Seconds, action: Callable[[], object]) -> None:
        """Do `action` once time has come to `when`."""
        heapq.heappush(self._actions, (when, self.number(), action))

    def advance(self, until: Seconds) -> bool:
        """Do all that is due by `until`; False if that is already under way."""
        if self._advancing:  # an action asks something itself
            return False
        self._advancing = True
        try:
            while self._actions and self._actions[0][0] <= until:
                when, _, action = heapq.heappop(self._actions)
                self.now = max(self.now, when)
                action()
            self.now = max(self.now, until)
        finally:
            self._advancing = False
        return True
