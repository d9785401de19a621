"""What is different where a person sits: questions, bars, colours."""

import os
import pty
import select
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.doors.desk import IMAGE, Desk

_IMPATIENCE = 1000


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
    image = desk.glance.add(IMAGE)

    def done() -> None:
        desk.place()
        del image["os_glance_import_task"], image["os_glance_importing_to_stores"]
        image["stores"] += ",edge1"

    def take(image: dict[str, Any], store: str) -> None:
        image["os_glance_import_task"] = "task-1"
        image["os_glance_importing_to_stores"] = store
        desk.place(content=bytes(2**19))
        threading.Timer(1, done).start()

    desk.glance.taken = take
    seat = Seat(desk, "disk", "create", IMAGE, "vm1")
    assert seat.finish() == 0, seat.seen
    assert "asked Glance to copy it" in seat.seen
    assert "edge1: storing" in seat.seen
    assert "━" in seat.seen
    assert "arriving" not in seat.seen  # the words of the plain lines
    seat.leave()


def test_json_on_a_terminal_has_no_bar(desk: Desk, disk: Path) -> None:
    assert disk.exists()
    seat = Seat(desk, "disk", "list", "--json")
    assert seat.finish() == 0
    assert seat.seen.startswith("{")
    assert "\x1b[" not in seat.seen
    seat.leave()
