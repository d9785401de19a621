"""Events as plain lines, where there is no terminal."""

from typing import TextIO

from cowpath.core.events import CopyProgress, Event
from cowpath.core.model import Seconds
from cowpath.observers.words import sentence

_EVERY: Seconds = 5
"""Seconds between two progress lines of one phase."""


class PlainLines:
    """Writes a line per event; of progress only what is new or some seconds old."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: CopyProgress | None = None

    def tell(self, event: Event) -> None:
        """Write `event`, unless it is progress that was just written."""
        if isinstance(event, CopyProgress):
            if not self._is_news(event):
                return
            self._last = event
        self._stream.write(sentence(event) + "\n")
        self._stream.flush()

    def _is_news(self, event: CopyProgress) -> bool:
        last = self._last
        if last is None or (last.image, last.store) != (event.image, event.store):
            return True
        return event.phase != last.phase or event.elapsed - last.elapsed >= _EVERY
