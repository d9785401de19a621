"""Time that a test moves."""

import threading
from collections.abc import Callable

from cowpath.core.model import Seconds


class FakeClock:
    """A Clock whose time moves only when somebody sleeps.

    Sleepers of several threads each move it, one after the other: nobody waits.
    """

    def __init__(self, start: Seconds = 0.0) -> None:
        """Begin at `start` seconds."""
        self._time = start
        self._lock = threading.Lock()
        self._watchers: list[Callable[[], None]] = []
        self.slept: list[Seconds] = []
        """Every sleep so far, in order."""

    def now(self) -> Seconds:
        """Return the fake time."""
        with self._lock:
            return self._time

    def sleep(self, seconds: Seconds) -> None:
        """Move time on and return at once."""
        assert seconds > 0, "a loop that sleeps for nothing never ends"
        with self._lock:
            self._time += seconds
            self.slept.append(seconds)
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` each time that time has moved, in the sleeper's thread.

        What happens by itself in the real world, such as bytes arriving, happens
        here.
        """
        with self._lock:
            self._watchers.append(watcher)
