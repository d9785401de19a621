"""The real clock; the only module that sleeps."""

import time

from cowpath.core.model import Seconds


class SystemClock:
    """Monotonic system time."""

    def now(self) -> Seconds:
        """Return seconds since an arbitrary start."""
        return time.monotonic()  # noqa: TID251  # the one allowed place

    def sleep(self, seconds: Seconds) -> None:
        """Block this thread."""
        time.sleep(seconds)  # noqa: TID251  # the one allowed place
