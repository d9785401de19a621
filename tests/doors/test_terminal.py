"""What is different where a person sits: questions, bars, colours."""

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from tests.doors.desk import IMAGE, Desk

_IMPATIENCE = 1000
_SHOW_CURSOR, _HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


class Seat:
    """A person's terminal, with one command on it."""

    def __init__(self, desk: Desk, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self._running = subprocess.Popen(
            # A terminal of its own, so that ^C reaches it and nobody else.
            ["/usr/bin/setsid", "--ctty", *desk.argv(*words)],
            env=desk.environment | {"TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.seen = ""
        self._typed = ""

    def read_until(self, text: str) -> None:
        """Read until `text` was written; fails where the command ends before."""
        while text not in self.seen:
            chunk = self._read()
            assert chunk, f"never wrote {text!r}: {self.seen}"

    def type(self, text: str) -> None:
        """Type something."""
        self._typed = text
        os.write(self._ours, text.encode())

    @property
    def shows_its_cursor(self) -> bool:
        """Whether the cursor was hidden, and is there again."""
        shown, hidden = map(self.seen.rfind, (_SHOW_CURSOR, _HIDE_CURSOR))
        return 0 < hidden < shown

    def finish(self) -> int:
        """Read all the rest; return the exit code."""
        for _ in range(_IMPATIENCE):
            # A key that is hit before the command waits for one may get lost, as ^D
            # does when the terminal changes its mode: a person hits it again.
            if not select.select([self._ours], [], [], 5)[0]:
                os.write(self._ours, self._typed.encode())
            elif not self._read():
                break
        return self._running.wait(30)

    def leave(self) -> None:
        """End what still runs."""
        self._running.kill()
        self._running.wait()
        os.close(self._ours)

    def _read(self) -> str:
        try:
            chunk = os.read(self._ours, 4096).decode(errors="replace")
        except OSError:  # Linux's way to say that nobody has the terminal any more
            return ""
        self.seen += chunk
        return chunk


@pytest.fixture
def disk(desk: Desk) -> Path:
    """Make a disk vm1."""
    desk.glance.add(IMAGE, stores="central,edge1")
    desk.place()
    assert desk.spawn("disk", "create", IMAGE, "vm1").code == 0
    return desk.disks / "vm1.qcow2"


def test_deleting_asks_and_yes_deletes(desk: Desk, disk: Path) -> None:
    seat = Seat(desk, "disk", "delete", "vm1")
    seat.read_until("Delete disk vm1")
    assert disk.exists()
    seat.type("y\n")
    assert seat.finish() == 0
    assert "deleted vm1" in seat.seen
    assert not disk.exists()
    seat.leave()


@pytest.mark.parametrize(
    ("answer", "code"), [("n\n", 2), ("\n", 2), ("\x03", 130), ("\x04", 130)]
)
def test_anything_else_deletes_nothing(
    desk: Desk, disk: Path, answer: str, code: int
) -> None:
    seat = Seat(desk, "disk", "delete", "vm1")
    seat.read_until("[y/N]")
    seat.type(answer)
    assert seat.finish() == code
    assert "Traceback" not in seat.seen
    assert disk.exists()
    seat.leave()


def test_yes_asks_nothing(desk: Desk, disk: Path) -> None:
    seat = Seat(desk, "disk", "delete", "vm1", "--yes")
    assert seat.finish() == 0
    assert "[y/N]" not in seat.seen
    assert not disk.exists()
    seat.leave()


def test_without_a_terminal_nothing_is_asked(desk: Desk, disk: Path) -> None:
    ran = desk.spawn("disk", "delete", "vm1")
    assert (ran.code, ran.out) == (0, "deleted vm1\n")
    assert not disk.exists()


def test_a_copy_is_a_bar(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    seat = Seat(desk, "disk", "create", IMAGE, "vm1")
    assert seat.finish() == 0, seat.seen
    assert "asked Glance to copy it" in seat.seen
    assert "edge1: storing" in seat.seen
    assert "512.0 KiB of 1.0 MiB" in seat.seen
    assert "━" in seat.seen
    assert "arriving" not in seat.seen  # the words of the plain lines
    assert seat.shows_its_cursor
    seat.leave()


def test_every_store_has_its_bar(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge2")
    seat = Seat(desk, "image", "place", IMAGE, "--store", "edge1", "--store", "edge2")
    assert seat.finish() == 7, seat.seen
    assert "edge1: storing" in seat.seen
    assert "edge2: copying" in seat.seen  # its store is not ours to see
    assert f"{IMAGE} is in edge1" in seat.seen
    assert "Error: edge2: Glance failed to copy" in seat.seen
    assert seat.shows_its_cursor
    seat.leave()


def test_a_copy_that_fails_gives_the_cursor_back(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge1")
    seat = Seat(desk, "disk", "create", IMAGE, "vm1")
    assert seat.finish() == 7, seat.seen
    assert "━" in seat.seen
    assert seat.shows_its_cursor
    assert "Error: Glance failed to copy" in seat.seen.rpartition(_SHOW_CURSOR)[2]
    seat.leave()


def test_ctrl_c_takes_the_bar_away(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.hold_copies()
    seat = Seat(desk, "image", "place", IMAGE, "--store", "edge2", "--store", "edge1")
    seat.read_until("edge1: staging")
    seat.type("\x03")
    assert seat.finish() == 130, seat.seen
    said = seat.seen.rpartition(_SHOW_CURSOR)[2]
    assert "Glance goes on copying image debian to stores edge2, edge1" in said
    assert "the same command joins those copies" in said
    assert "━" not in said
    assert "Traceback" not in seat.seen
    seat.leave()


def test_lines_can_be_had_on_a_terminal(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    seat = Seat(desk, "--progress", "lines", "disk", "create", IMAGE, "vm1")
    assert seat.finish() == 0, seat.seen
    assert "edge1: arriving: 512.0 KiB of 1.0 MiB" in seat.seen
    assert "━" not in seat.seen
    seat.leave()


def test_programs_are_asked_nothing(desk: Desk, disk: Path) -> None:
    seat = Seat(desk, "--progress", "json", "disk", "delete", "vm1")
    assert seat.finish() == 0
    assert seat.seen.splitlines()[-1] == "deleted vm1"
    assert "[y/N]" not in seat.seen
    assert not disk.exists()
    seat.leave()


def test_json_on_a_terminal_has_no_bar(desk: Desk, disk: Path) -> None:
    assert disk.exists()
    seat = Seat(desk, "disk", "list", "--json")
    assert seat.finish() == 0
    assert seat.seen.startswith("{")
    assert "\x1b[" not in seat.seen
    seat.leave()
