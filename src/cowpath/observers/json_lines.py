"""Events and log records as JSON, one object per line, for programs."""

import json
import logging
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import TextIO

from cowpath.core.errors import CowpathError
from cowpath.core.events import Event
from cowpath.core.model import Base, Disk, Image, Leftover
from cowpath.observers import nouns


class JsonLines:
    """Writes an object per event: the event's class, then its fields."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, event: Event) -> None:
        """Write `event`."""
        self.write(as_fields(event))

    def write(self, line: Mapping[str, object]) -> None:
        """Write one object, all of it at once, and flush it."""
        # Only ASCII: what others call their images does nothing to a terminal.
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()


class JsonLog(logging.Formatter):
    """Makes such a line of what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line."""
        line = {
            "event": "Log",
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def as_fields(event: Event) -> dict[str, object]:
    """Return an event with its class's name; docs/events.md shows each."""
    line: dict[str, object] = {"event": type(event).__name__}
    for field in fields(event):
        line |= _facts(field.name, getattr(event, field.name))
    return line


def _facts(name: str, value: object) -> dict[str, object]:
    match value:
        case Image():
            # Programs key on the id: `image` is that in every event. Nothing of its
            # locations, some of which hold keys.
            stores = sorted(value.stores)
            return {name: value.id, "name": value.name, "stores": stores}
        case Leftover():
            return {"image": value.image, name: nouns.leftover(value)}
        case _:
            return {name: _plain(value)}


def _plain(value: object) -> object:
    match value:
        case Base():
            return nouns.base(value)
        case Disk():
            return nouns.disk(value)
        case CowpathError():
            return nouns.error(value)
        case frozenset():
            return sorted(value)
        case float():
            # JSON has no infinity; 0.1 ms is finer than anything here is measured.
            return round(value, 4) if isfinite(value) else None
        case _:
            return value
