"""Events as plain lines, where there is no terminal."""

import logging
from typing import TextIO

from cowpath.core.events import CopyProgress, Event, LeftoverSetAside, Warned
from cowpath.core.model import ImageId, Seconds, StoreName
from cowpath.observers.words import printable_lines, sentence

_EVERY: Seconds = 5
"""Seconds between two progress lines of one phase of one copy."""


class PlainLines:
    """Writes a line per event; of progress only what is new or some seconds old."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[tuple[ImageId, StoreName], CopyProgress] = {}

    def tell(self, event: Event) -> None:
        """Write `event`, unless it is progress that was just written."""
        if isinstance(event, CopyProgress):
            if not self._is_news(event):
                return
            self._last[event.image, event.store] = event
        self._stream.write(sentence(event) + "\n")
        self._stream.flush()

    def _is_news(self, event: CopyProgress) -> bool:
        last = self._last.get((event.image, event.store))
        if last is None or event.phase != last.phase or event.behind != last.behind:
            return True
        # Less than before: it is followed anew.
        since = event.elapsed - last.elapsed
        return since >= _EVERY or since < 0


class PlainLog(logging.Formatter):
    """Makes such lines of what libraries log, which quotes what others wrote."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record`; a traceback has lines of its own."""
        return printable_lines(super().format(record))


class WarningLines:
    """Writes only what the user should know, and nothing of progress."""

    def __init__(self, stream: TextIO) -> None:
        self._lines = PlainLines(stream)

    def tell(self, event: Event) -> None:
        """Write `event` if it is a warning, or something was moved."""
        if isinstance(event, Warned | LeftoverSetAside):
            self._lines.tell(event)
