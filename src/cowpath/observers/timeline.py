"""Remembers when each step of a verb was done."""

from cowpath.core.events import (
    BaseFound,
    CopyAsked,
    CopyFinished,
    CopyJoined,
    DiskAdopted,
    DiskMade,
    Event,
    GuestStarted,
)
from cowpath.core.model import Seconds
from cowpath.core.ports import Clock

_STEPS: dict[type, str] = {
    CopyAsked: "copy asked",
    CopyJoined: "copy joined",
    CopyFinished: "copied",
    BaseFound: "base found",
    DiskMade: "disk made",
    DiskAdopted: "disk adopted",
    GuestStarted: "guest started",
}


class Timeline:
    """Knows the seconds from its making to the latest of each kind of step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self.seconds: dict[str, Seconds] = {}

    def tell(self, event: Event) -> None:
        """Take note of when a step was done."""
        step = _STEPS.get(type(event))
        if step:
            self.seconds[step] = round(self._clock.now() - self._began, 3)
