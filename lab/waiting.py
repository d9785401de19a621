"""Time in the lab: the one place that polls, sleeps and measures."""

import time
from collections.abc import Callable

_LOOK_EVERY_SECONDS = 0.05


def wait_until(
    condition: Callable[[], bool],
    *,
    within_seconds: float,
    every_seconds: float = _LOOK_EVERY_SECONDS,
) -> bool:
    """Look at a condition again and again.

    Args:
        condition: What has to become true.
        within_seconds: When to give up.
        every_seconds: How long to wait after a look: more where it costs somebody.

    Returns:
        Whether it became true in time.
    """
    end = time.monotonic() + within_seconds  # noqa: TID251 - the lab's own clock
    while not condition():
        if time.monotonic() > end:  # noqa: TID251
            return False
        time.sleep(every_seconds)  # noqa: TID251
    return True


class Stopwatch:
    """Seconds since it was made."""

    __slots__ = ("_start",)

    def __init__(self) -> None:
        self._start = time.monotonic()  # noqa: TID251

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._start  # noqa: TID251
