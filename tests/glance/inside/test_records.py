"""The files by which copies of a killed process are found."""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cowpath.doors.glance.records import Order, Records

ORDER = Order("a-task", "an-image", ("edge1", "edge2"), all_or_none=True)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_record_whose_process_died_before_it_was_whole_is_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / "other.new").write_text('{"task"')
    held = Records(tmp_path).begin(ORDER)
    assert list(Records(tmp_path).left_behind()) == []
    assert _names(tmp_path) == ["a-task.copy"]
    held.done()


def test_one_that_is_just_being_made_stays(tmp_path: Path) -> None:
    new = tmp_path / "other.new"
    with new.open("w") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        assert list(Records(tmp_path).left_behind()) == []
        assert _names(tmp_path) == ["other.new"]


def test_one_that_is_removed_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look for dead ones between the two steps."""
    flock: Callable[[int, int], None] = fcntl.flock
    seen: list[int] = []

    def overtaken(descriptor: int, how: int) -> None:
        if not seen:
            seen.append(descriptor)
            (tmp_path / "a-task.new").unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    held = Records(tmp_path).begin(ORDER)
    assert held.is_noted
    assert _names(tmp_path) == ["a-task.copy"]
    held.done()


def test_nothing_is_left_where_it_could_not_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as trouble:
        trouble.setattr(os, "fsync", full)
        held = Records(tmp_path).begin(ORDER)
    assert not held.is_noted
    assert _names(tmp_path) == []


def test_a_filesystem_that_is_not_mounted_is_not_written_below(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is noted there would be out of sight once it is mounted."""
    folder = tmp_path / "not-mounted" / "copies"
    with caplog.at_level(logging.WARNING):
        held = Records(folder).begin(ORDER)
    assert not held.is_noted
    assert not folder.parent.exists()
    assert f"{folder} cannot be written" in caplog.text
