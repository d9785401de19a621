"""What events look like: words, lines, a bar, a log."""

import io
import logging
from dataclasses import replace
from typing import get_args

import pytest
from rich.console import Console

from cowpath.core import events
from cowpath.core.errors import BusyError, UnavailableError
from cowpath.core.events import CopyProgress, Event, Phase
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    StoreName,
)
from cowpath.observers import words
from cowpath.observers.latest_copy import LatestCopy
from cowpath.observers.lines import PlainLines
from cowpath.observers.log import LogObserver
from cowpath.observers.progress import ProgressBar
from cowpath.observers.several import Several
from cowpath.observers.silence import Silence
from cowpath.observers.timeline import Timeline
from cowpath.testing.clock import FakeClock

EDGE = StoreName("edge1")
IMAGE = Image(
    ImageId("6f2e1c0a-0000-4000-8000-00000000000a"),
    "[red]debian[/red]",
    stores=frozenset({StoreName("central"), StoreName("archive")}),
)
BASE = Base(IMAGE.id, "/edge1/debian", Bytes(2**30))
DISK = Disk(
    DiskName("vm1"), Bytes(20 * 2**30), FileSource("/d/vm1.qcow2"), base=BASE.where
)
PROGRESS = CopyProgress(IMAGE.id, EDGE, Phase.STORING, Bytes(2**29), Bytes(2**30), 12.3)
GONE = UnavailableError("Glance answers 502")

SENTENCES: dict[Event, list[str]] = {
    events.CopyAsked(IMAGE, EDGE): ["debian", "edge1", "from archive, central"],
    events.CopyJoined(IMAGE, EDGE): ["is being copied to edge1 already"],
    PROGRESS: ["edge1: arriving: 512.0 MiB of 1.0 GiB (12 s)"],
    events.CopyFinished(IMAGE.id, EDGE, 15.72): ["copied to edge1 in 15.7 s"],
    events.LookFailed(IMAGE.id, GONE, 3): [IMAGE.id, "look 3", "502"],
    events.BaseFound(BASE, copied=False): ["no copy needed", "/edge1/debian"],
    events.BaseFound(BASE, copied=True): ["is here now", "/edge1/debian"],
    events.DiskMade(DISK): ["disk vm1: 20.0 GiB, clone of /edge1/debian"],
    events.DiskAdopted(DISK): ["vm1", "made by an earlier call"],
    events.DiskGrown(DISK): ["vm1 is 20.0 GiB now"],
    events.DiskDeleted(DISK): ["vm1 is deleted"],
    events.DiskBusy(DISK.name, BusyError("vm1 is open"), 5): [
        "vm1 is open; trying again in 5 s"
    ],
    events.GuestStarted("vm1", DISK): ["guest vm1 runs on disk vm1"],
    events.Warned("no limit"): ["warning: no limit"],
}


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event in SENTENCES} == set(get_args(Event))


@pytest.mark.parametrize(
    "event",
    SENTENCES,
    ids=[f"{number} {type(event).__name__}" for number, event in enumerate(SENTENCES)],
)
def test_every_event_is_one_line_with_its_facts(event: Event) -> None:
    said = words.sentence(event)
    assert "\n" not in said
    for fact in SENTENCES[event]:
        assert fact in said


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_words(phase: Phase) -> None:
    event = replace(PROGRESS, phase=phase)
    assert words.phase(event)
    shows_bytes = "512.0 MiB" in words.phase(event)
    assert shows_bytes is (phase is Phase.STORING)
    assert "MiB" not in words.phase(replace(event, total=None))


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


def terminal() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=True, width=120), stream


def is_drawn(bar: ProgressBar) -> bool:
    return bar._bar is not None


def followed(latest: LatestCopy) -> tuple[Image, StoreName] | None:
    return latest.running


def test_names_are_printed_as_they_are_not_as_markup() -> None:
    console, stream = terminal()
    ProgressBar(console).tell(events.CopyAsked(IMAGE, EDGE))
    assert "[red]debian[/red]" in stream.getvalue()


def test_a_bar_is_drawn_while_a_copy_runs_and_taken_away_after_it() -> None:
    console, stream = terminal()
    bar = ProgressBar(console)
    bar.tell(replace(PROGRESS, phase=Phase.STAGING, present=Bytes(0)))
    bar.tell(PROGRESS)
    bar.tell(replace(PROGRESS, total=None))
    assert is_drawn(bar)
    bar.tell(events.CopyFinished(IMAGE.id, EDGE, 15.72))
    assert not is_drawn(bar)
    bar.close()
    assert "edge1: storing" in stream.getvalue()
    assert "copied to edge1" in stream.getvalue()


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


def test_the_latest_copy_is_known_until_it_is_finished() -> None:
    latest = LatestCopy()
    latest.tell(events.Warned("x"))
    assert followed(latest) is None
    for begun in (events.CopyAsked(IMAGE, EDGE), events.CopyJoined(IMAGE, EDGE)):
        latest.tell(begun)
        latest.tell(PROGRESS)
        assert followed(latest) == (IMAGE, EDGE)
        latest.tell(events.CopyFinished(IMAGE.id, EDGE, 1))
        assert followed(latest) is None


def test_a_timeline_knows_when_each_step_was_done() -> None:
    clock = FakeClock(100)
    timeline = Timeline(clock)
    clock.sleep(0.25)
    timeline.tell(events.CopyAsked(IMAGE, EDGE))
    timeline.tell(PROGRESS)
    clock.sleep(2)
    timeline.tell(events.DiskMade(DISK))
    assert timeline.seconds == {"copy asked": 0.25, "disk made": 2.25}
