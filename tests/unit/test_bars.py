"""A bar per store while copies run, as a terminal shows it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cowpath.core import events
from cowpath.core.events import CopyProgress, Phase
from cowpath.core.model import Bytes, StoreName
from cowpath.observers.progress import ProgressBar
from tests.unit.telling import EDGE, GONE, IMAGE, PROGRESS

EDGE2, EDGE3 = StoreName("edge2"), StoreName("edge3")
_SHOW_CURSOR = "\x1b[?25h"
_HIDE_CURSOR = "\x1b[?25l"


def terminal(width: int = 120) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    # Whatever the terminal that the tests run in.
    environ = {"TERM": "xterm"}
    console = Console(file=stream, force_terminal=True, width=width, _environ=environ)
    return console, stream


def shown(bar: ProgressBar, width: int = 120) -> list[str]:
    """Return the bars as lines of text."""
    if bar._bars is None:
        return []
    page = Console(file=io.StringIO(), width=width, record=True)
    page.print(bar._bars.get_renderable())
    return [line.rstrip() for line in page.export_text().splitlines() if line.strip()]


def to(store: StoreName, **facts: object) -> CopyProgress:
    return replace(PROGRESS, store=store, **facts)  # type: ignore[arg-type]


@pytest.fixture
def bar() -> ProgressBar:
    return ProgressBar(terminal()[0])


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
    assert len(shown(bar)) == 1
    assert stream.getvalue().count(_HIDE_CURSOR) == 1
    bar.tell(events.CopyFinished(IMAGE.id, EDGE, 15.72))
    assert shown(bar) == []
    bar.close()
    assert "edge1: staging" in stream.getvalue()
    assert "copied to edge1" in stream.getvalue()
    assert stream.getvalue().count(_SHOW_CURSOR) == 1


def test_bytes_rate_and_rest_are_those_of_the_event(bar: ProgressBar) -> None:
    bar.tell(replace(PROGRESS, rate=35.2 * 2**20, left=26.4))
    (line,) = shown(bar)
    assert line.startswith("edge1: storing ━")
    assert line.endswith(" 512.0 MiB of 1.0 GiB, 35.2 MiB/s, 26 s left 12 s")


def test_what_is_not_known_is_not_shown(bar: ProgressBar) -> None:
    bar.tell(replace(PROGRESS, phase=Phase.STAGING, present=Bytes(0)))
    (line,) = shown(bar)
    assert "MiB" not in line
    assert "left" not in line
    bar.tell(replace(PROGRESS, total=None))
    (line,) = shown(bar)
    assert "512.0 MiB" in line
    assert " of " not in line


def test_each_store_has_its_bar_until_it_is_done(bar: ProgressBar) -> None:
    bar.tell(to(EDGE))
    bar.tell(to(EDGE2, phase=Phase.STAGING, present=Bytes(0)))
    bar.tell(to(EDGE3, phase=Phase.QUEUED, behind=frozenset({EDGE})))
    first, second, third = shown(bar)
    assert first.startswith("edge1: storing")
    assert second.startswith("edge2: staging")
    assert third.startswith("edge3: queued")
    assert "behind edge1" in third
    bar.tell(events.CopyFinished(IMAGE.id, EDGE, 13))
    assert [line.split(":")[0] for line in shown(bar)] == ["edge2", "edge3"]


def test_the_bar_of_a_store_that_failed_goes(bar: ProgressBar) -> None:
    for store in (EDGE, EDGE2, EDGE3) * 2:
        bar.tell(to(store))
    assert len(shown(bar)) == 3
    bar.tell(events.CopyFailed(IMAGE.id, EDGE2, GONE))
    assert [line.split(":")[0] for line in shown(bar)] == ["edge1", "edge3"]
    bar.tell(events.CopyFailed(IMAGE.id, EDGE, GONE))
    assert [line.split(":")[0] for line in shown(bar)] == ["edge3"]


def test_other_events_are_lines_and_the_bars_stay(bar: ProgressBar) -> None:
    bar.tell(PROGRESS)
    bar.tell(events.Warned("slow"))
    assert len(shown(bar)) == 1


def test_after_the_end_nothing_is_drawn() -> None:
    console, stream = terminal()
    bar = ProgressBar(console)
    bar.tell(PROGRESS)
    bar.close()
    before = stream.getvalue()
    # A thread that still follows.
    bar.tell(PROGRESS)
    bar.tell(events.CopyFinished(IMAGE.id, EDGE, 13))
    assert stream.getvalue() == before
    assert before.count(_HIDE_CURSOR) == before.count(_SHOW_CURSOR) == 1


def test_what_glance_calls_its_stores_does_nothing(bar: ProgressBar) -> None:
    bar.tell(to(StoreName("[red]x\x1b[2J"), behind=frozenset({StoreName("\x07")})))
    (line,) = shown(bar)
    assert line.startswith(r"[red]x\x1b[2J: storing")
    assert r"behind \x07" in line


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_bar_is_one_line_in_any_terminal(width: int) -> None:
    bar = ProgressBar(terminal(width)[0])
    bar.tell(replace(PROGRESS, rate=35.2 * 2**20, left=26.4))
    (line,) = shown(bar, width)
    assert len(line) <= width
    assert "━" in line


def test_all_that_is_known_fits_into_80_columns() -> None:
    narrow = ProgressBar(terminal(80)[0])
    narrow.tell(replace(PROGRESS, rate=35.2 * 2**20, left=26.4))
    (line,) = shown(narrow, 80)
    assert line.endswith("512.0 MiB of 1.0 GiB, 35.2 MiB/s, 26 s left 12 s")
    assert "━━━" in line
