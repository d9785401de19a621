"""Events as JSON lines: the shapes that docs/events.md shows, and no secret."""

import io
import json
import logging
import re
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any, get_args

import pytest

from cowpath.core.events import CopyAsked, DiskMade, Event, Phase
from cowpath.core.model import FileSource, RbdSource, StoreName
from cowpath.observers.json_lines import JsonLines, JsonLog, as_fields
from tests.unit.telling import DISK, EVERY, IMAGE, PROGRESS, SECRET

_PAGE = Path(__file__).parents[2] / "docs" / "events.md"
_BLOCK = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OURS = {"Error", "Console", "Log"}
"""Lines that are of no event."""


def told(event: Event) -> Any:
    """Return the one line that an event is."""
    stream = io.StringIO()
    JsonLines(stream).tell(event)
    (line,) = stream.getvalue().splitlines()
    assert stream.getvalue() == line + "\n"
    return json.loads(line)


def documented() -> dict[str, list[Any]]:
    """Return the lines on the page by their event."""
    found: dict[str, list[Any]] = {}
    for block in _BLOCK.findall(_PAGE.read_text(encoding="utf-8")):
        for line in block.splitlines():
            shown = json.loads(line)
            found.setdefault(shown["event"], []).append(shown)
    return found


def shape(value: object) -> object:
    """Return names and types, in order; any number is a number."""
    match value:
        case dict():
            # A disk has the source of its store's kind, whatever the event.
            return [(key, key == "source" or shape(it)) for key, it in value.items()]
        case bool():
            return "truth"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


@pytest.mark.parametrize("event", EVERY, ids=lambda event: type(event).__name__)
def test_an_event_has_the_shape_on_the_page(event: Event) -> None:
    line = told(event)
    assert line["event"] == type(event).__name__
    assert shape(line) in map(shape, documented()[line["event"]])


def test_every_event_is_on_the_page_and_nothing_else() -> None:
    assert documented().keys() - _OURS == {kind.__name__ for kind in get_args(Event)}


@pytest.mark.parametrize("source", [DISK.source, RbdSource("p", "d", (), "u", "s")])
def test_a_disk_has_the_source_of_its_store(source: FileSource | RbdSource) -> None:
    line = told(DiskMade(replace(DISK, source=source)))
    shown = [each["disk"]["source"] for each in documented()["DiskMade"]]
    assert shape(line["disk"]["source"]) in map(shape, shown)


def test_progress_has_all_that_is_known() -> None:
    behind = frozenset({StoreName("edge3"), StoreName("edge2")})
    line = told(replace(PROGRESS, rate=1.5, left=2, behind=behind))
    assert line == {
        "event": "CopyProgress",
        "image": IMAGE.id,
        "store": "edge1",
        "phase": "storing",
        "present": 2**29,
        "total": 2**30,
        "elapsed": 12.3,
        "rate": 1.5,
        "left": 2,
        "behind": ["edge2", "edge3"],
    }


@pytest.mark.parametrize("odd", [inf, -inf, nan])
def test_there_is_no_infinity(odd: float) -> None:
    line = told(replace(PROGRESS, rate=odd, left=odd))
    assert (line["rate"], line["left"]) == (None, None)


def test_nothing_of_a_location_is_told() -> None:
    assert SECRET in str(IMAGE)
    assert [event for event in EVERY if SECRET in json.dumps(as_fields(event))] == []


def test_names_of_others_do_nothing_to_a_terminal() -> None:
    hostile = replace(IMAGE, name="\x1b[2J\ud800\u202e\nx")
    stream = io.StringIO()
    JsonLines(stream).tell(CopyAsked(hostile, StoreName("edge1")))
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["name"] == hostile.name


def test_each_line_is_flushed_and_written_at_once() -> None:
    done: list[str] = []

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            done.append("line" if text.endswith("}\n") else text)
            return super().write(text)

        def flush(self) -> None:
            done.append("flush")

    lines = JsonLines(Pipe())
    for phase in (Phase.STAGING, Phase.STORING):
        lines.tell(replace(PROGRESS, phase=phase))
    assert done == ["line", "flush"] * 2


def test_what_libraries_log_is_a_line_too() -> None:
    record = logging.LogRecord("lib", 30, "x.py", 1, "no\n%s", ("answer",), None)
    line = json.loads(JsonLog().format(record))
    assert line == {
        "event": "Log",
        "logger": "lib",
        "level": "WARNING",
        "message": "no\nanswer",
    }
    assert shape(line) in map(shape, documented()["Log"])


def test_a_traceback_that_libraries_log_is_in_its_line() -> None:
    error = ZeroDivisionError()
    raised = (type(error), error, None)
    record = logging.LogRecord("lib", 40, "x.py", 1, "broken", None, raised)
    assert "ZeroDivisionError" in json.loads(JsonLog().format(record))["traceback"]
