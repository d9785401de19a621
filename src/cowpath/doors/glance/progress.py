"""How far copies are, in the messages of their tasks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oslo_log import log as logging

from cowpath.core.events import CopyProgress, Event, Phase
from cowpath.core.model import Seconds, StoreName
from cowpath.core.ports import Clock
from cowpath.observers.log import LogObserver

LOG = logging.getLogger(__name__)

_MIB = 1024**2
_EVERY: Seconds = 1


class SuspendedError(BaseException):
    """This process ends: a copy is left as it is, for the next one to go on with.

    No Exception, because nobody may undo what is there.
    """


class Progress:
    """One copy's message, of all its stores; written once a second at most."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._words: dict[StoreName, str] = {}
        self._next: Seconds = 0
        self._lock = threading.Lock()

    def tell(self, event: CopyProgress) -> None:
        """Take note of how far the copy to one store is.

        Raises:
            CopyError: The copy is not wanted any more.
        """
        with self._lock:
            self._words[event.store] = words(event)
            due = self._clock.now() >= self._next
            if due:
                self._next = self._clock.now() + _EVERY
            message = "; ".join(self._words.values())
        if due:
            self._say(message)


class Watch:
    """Tells each copy's events to that copy, and all but progress to the log too."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._log = LogObserver(LOG.logger)
        self._copies: dict[str, Progress] = {}

    def tell(self, event: Event) -> None:
        """Take note of `event`.

        Raises:
            CopyError: Its copy is not wanted any more.
            SuspendedError: This process ends.
        """
        self._log.tell(event)
        if isinstance(event, CopyProgress):
            if self._is_stopping():
                raise SuspendedError
            copy = self._copies.get(event.image)
            if copy is not None:
                copy.tell(event)

    @contextmanager
    def following(self, image: str, progress: Progress) -> Iterator[None]:
        """Tell an image's events to `progress`. It has one copy at a time."""
        self._copies[image] = progress
        try:
            yield
        finally:
            self._copies.pop(image, None)


def words(event: CopyProgress) -> str:
    """Return how far the copy to one store is."""
    present = event.present // _MIB
    if event.phase is Phase.VERIFYING:
        return f"Copied {present} MiB to {event.store}, verifying"
    total = "" if event.total is None else f" of {event.total // _MIB}"
    return f"Copied {present}{total} MiB to {event.store}"
