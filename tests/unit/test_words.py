"""What events look like: words, lines, a log."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf, nan
from typing import Any, get_args

import pytest

from cowpath.core import events
from cowpath.core.errors import UnavailableError
from cowpath.core.events import Event, Phase
from cowpath.core.model import StoreName
from cowpath.observers import words
from cowpath.observers.lines import PlainLines, PlainLog, WarningLines
from cowpath.observers.log import LogObserver
from cowpath.observers.running_copies import RunningCopies
from cowpath.observers.several import Several
from cowpath.observers.silence import Silence
from cowpath.observers.timeline import Timeline
from cowpath.testing.clock import FakeClock
from tests.unit.telling import BASE, DISK, EDGE, EVERY, GONE, IMAGE, LEFTOVER, PROGRESS

SENTENCES: dict[type, list[str]] = {
    events.CopyAsked: ["debian", "edge1", "from archive, central"],
    events.CopyJoined: ["is being copied to edge1 already"],
    events.CopyProgress: ["edge1: arriving: 512.0 MiB of 1.0 GiB (12 s)"],
    events.CopyFinished: ["copied to edge1 in 15.7 s"],
    events.CopyFailed: [f"edge1: image {IMAGE.id} did not come (UnavailableError)"],
    events.LeftoverSetAside: [
        f"what a broken copy of image {IMAGE.id} left at /edge1/half (1.0 MiB)",
        "moved out of the way: mv /kept/half /edge1/half restores it",
    ],
    events.LookFailed: [IMAGE.id, "look 3", "502"],
    events.BaseFound: ["is here now", "/edge1/debian"],
    events.DiskMade: ["disk vm1: 20.0 GiB, clone of /edge1/debian"],
    events.DiskAdopted: ["vm1", "made by an earlier call"],
    events.DiskGrown: ["vm1 is 20.0 GiB now"],
    events.DiskDeleted: ["vm1 is deleted"],
    events.DiskBusy: ["vm1 is open; trying again in 5 s"],
    events.GuestStarted: ["guest vm1 runs on disk vm1"],
    events.Warned: ["warning: no limit"],
}


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event in EVERY} == set(get_args(Event)) == {*SENTENCES}


@pytest.mark.parametrize("event", EVERY, ids=lambda event: type(event).__name__)
def test_every_event_is_one_line_with_its_facts(event: Event) -> None:
    said = words.sentence(event)
    assert "\n" not in said
    assert [fact for fact in SENTENCES[type(event)] if fact not in said] == []


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("Glance at http://glance failed (HTTP 502)"),
        UnavailableError("pool images: The cluster did not answer in time"),
    ],
)
def test_a_look_without_an_answer_blames_nobody_but_the_error(
    error: UnavailableError,
) -> None:
    """It may have been at Glance or at this site's own store."""
    said = words.sentence(events.LookFailed(IMAGE.id, error, 2))
    assert said == f"image {IMAGE.id}: no answer, look 2, going on: {error}"


def test_lines_of_others_keep_their_breaks_and_nothing_else() -> None:
    said = words.printable_lines("a\x1b[2J\n  b\r\x9b\x85\u2028\n")
    assert said == r"a\x1b[2J" + "\n" + r"  b\r\x9b\x85\u2028" + "\n"


def test_what_libraries_log_is_lines_that_do_nothing() -> None:
    error = ZeroDivisionError("\x1b[2J")
    raised = (type(error), error, None)
    record = logging.LogRecord("lib", 40, "x.py", 1, "no\x07\n%s", ("answer",), raised)
    said = PlainLog("%(name)s: %(message)s").format(record).split("\n")
    assert said == [r"lib: no\x07", "answer", r"ZeroDivisionError: \x1b[2J"]


def test_a_base_that_was_here_says_so() -> None:
    said = words.sentence(events.BaseFound(BASE, copied=False))
    assert "is here, no copy needed (/edge1/debian)" in said


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "arriving: 512.0 MiB of 1.0 GiB"),
        ({"rate": 35.2 * 2**20}, "arriving: 512.0 MiB of 1.0 GiB, 35.2 MiB/s"),
        (
            {"rate": 35.2 * 2**20, "left": 25.6},
            "arriving: 512.0 MiB of 1.0 GiB, 35.2 MiB/s, 26 s left",
        ),
        ({"rate": 0.0}, "arriving: 512.0 MiB of 1.0 GiB, 0 B/s"),
        ({"rate": inf, "left": inf}, "arriving: 512.0 MiB of 1.0 GiB"),
        ({"left": nan}, "arriving: 512.0 MiB of 1.0 GiB"),
        ({"total": None}, "arriving: 512.0 MiB"),
        ({"phase": Phase.STAGING}, "Glance is staging it"),
        ({"phase": Phase.FINISHING}, "all bytes are here, Glance is finishing"),
        (
            {"phase": Phase.QUEUED},
            "waiting for another import of this image to end",
        ),
        (
            {"phase": Phase.QUEUED, "behind": frozenset({"edge3", "edge2"})},
            "waiting for another import of this image, to edge2, edge3, to end",
        ),
    ],
)
def test_a_phase_says_what_is_known_and_no_more(
    changes: dict[str, Any], text: str
) -> None:
    event = replace(PROGRESS, **changes)
    assert words.phase(event) == text
    assert words.sentence(event) == f"edge1: {text} (12 s)"


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_words(phase: Phase) -> None:
    assert words.phase(replace(PROGRESS, phase=phase))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (3000, "50 min"), (7500, "2 h 5 min")],
)
def test_times_are_in_the_unit_that_says_enough(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (20 * 2**30, "20.0 GiB"),
        (2**40, "1.0 TiB"),
        (2**50, "1.0 PiB"),
        (2**62, "4096.0 PiB"),
    ],
)
def test_sizes_are_in_the_largest_binary_unit(number: int, text: str) -> None:
    assert words.size(number) == text


def test_lines_tell_of_progress_only_what_is_new_or_seconds_old() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    for elapsed in (0.0, 0.5, 4.9, 5.0, 9.0, 10.5):
        lines.tell(replace(PROGRESS, elapsed=elapsed))
    lines.tell(replace(PROGRESS, elapsed=11, phase=Phase.FINISHING))
    lines.tell(replace(PROGRESS, elapsed=11, store=StoreName("edge2")))
    lines.tell(replace(PROGRESS, elapsed=11.5, phase=Phase.FINISHING))
    lines.tell(replace(PROGRESS, elapsed=12, store=StoreName("edge2")))
    lines.tell(events.DiskMade(DISK))
    told = stream.getvalue().splitlines()
    assert [line.rpartition("(")[2] for line in told[:5]] == [
        "0 s)",
        "5 s)",
        "10 s)",
        "11 s)",
        "11 s)",
    ]
    assert told[5:] == [words.sentence(events.DiskMade(DISK))]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (PROGRESS, logging.DEBUG),
        (events.LookFailed(IMAGE.id, GONE, 1), logging.WARNING),
        (events.Warned("100 %s"), logging.WARNING),
        (events.LeftoverSetAside(LEFTOVER, "mv"), logging.WARNING),
        (events.DiskMade(DISK), logging.INFO),
    ],
)
def test_a_log_gets_trouble_as_warnings_and_progress_as_debug(
    event: Event, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("cowpath-test")
    with caplog.at_level(logging.DEBUG, logger.name):
        LogObserver(logger).tell(event)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (level, words.sentence(event))
    ]


def test_a_line_tells_when_it_is_another_import_that_we_queue_behind() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    queued = replace(PROGRESS, phase=Phase.QUEUED)
    for behind in ("edge2", "edge2", "edge3"):
        lines.tell(replace(queued, behind=frozenset({StoreName(behind)})))
    assert [line.split(", ")[1] for line in stream.getvalue().splitlines()] == [
        "to edge2",
        "to edge3",
    ]


def test_a_copy_that_is_followed_anew_is_news() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines.tell(replace(PROGRESS, elapsed=300))
    lines.tell(replace(PROGRESS, elapsed=0))
    assert len(stream.getvalue().splitlines()) == 2


def test_only_warnings_are_what_the_user_should_know() -> None:
    stream = io.StringIO()
    for event in EVERY:
        WarningLines(stream).tell(event)
    moved, warned = stream.getvalue().splitlines()
    assert "moved out of the way" in moved
    assert warned == "warning: no limit"


def test_several_observers_are_told_in_order() -> None:
    told: list[tuple[int, Event]] = []

    class Note(Silence):
        def __init__(self, number: int) -> None:
            self.number = number

        def tell(self, event: Event) -> None:
            super().tell(event)
            told.append((self.number, event))

    Several(Note(1), Note(2)).tell(PROGRESS)
    assert told == [(1, PROGRESS), (2, PROGRESS)]


def test_several_observers_hear_of_one_event_at_a_time() -> None:
    inside: list[int] = []
    most: list[int] = []

    class Slow(Silence):
        def tell(self, event: Event) -> None:
            inside.append(1)
            super().tell(event)
            most.append(len(inside))
            inside.pop()

    several = Several(Slow())
    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            pool.submit(several.tell, PROGRESS)
    assert most == [1] * 200


def test_copies_are_known_from_their_begin_to_their_end() -> None:
    copies = RunningCopies()
    copies.tell(events.Warned("x"))
    assert copies.by_image() == []
    for begun in (events.CopyAsked, events.CopyJoined):
        copies.tell(begun(IMAGE, EDGE))
        copies.tell(begun(IMAGE, StoreName("edge2")))
        copies.tell(PROGRESS)
        assert copies.by_image() == [(IMAGE, ["edge1", "edge2"])]
        copies.tell(events.CopyFinished(IMAGE.id, EDGE, 1))
        assert copies.by_image() == [(IMAGE, ["edge2"])]
        copies.tell(events.CopyFinished(IMAGE.id, StoreName("edge2"), 1))
        assert copies.by_image() == []


def test_what_was_found_finished_without_a_copy_is_no_copy() -> None:
    copies = RunningCopies()
    copies.tell(events.CopyFinished(IMAGE.id, EDGE, 0))
    assert copies.by_image() == []


def test_a_timeline_knows_when_each_step_was_done() -> None:
    clock = FakeClock(100)
    timeline = Timeline(clock)
    clock.sleep(0.25)
    timeline.tell(events.CopyAsked(IMAGE, EDGE))
    timeline.tell(PROGRESS)
    clock.sleep(2)
    timeline.tell(events.DiskMade(DISK))
    assert timeline.seconds == {"copy asked": 0.25, "disk made": 2.25}
