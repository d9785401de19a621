"""A lab in memory: made there once, found there again, removed with its link."""

from pathlib import Path

import pytest

from lab import memory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a lab, and a place for memory that has room."""
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(memory, "_ROOM_BYTES", 1)
    monkeypatch.setattr(memory, "_BESIDES_BYTES", 0)
    (tmp_path / "memory").mkdir()
    return tmp_path / "run" / "ceph"


def test_is_made_there_and_found_again_and_removed(home: Path) -> None:
    said: list[str] = []
    memory.prepare(home, said.append, wanted=True)
    assert memory.is_in_memory(home)
    (home / "file").write_text("x")
    memory.prepare(home, said.append, wanted=False)
    assert (home / "file").exists()
    memory.remove(home)
    assert not home.is_symlink()
    assert [*memory.MEMORY.iterdir()] == []
    assert said == []


def test_is_made_anew_when_the_machine_was_started_again(home: Path) -> None:
    memory.prepare(home, print, wanted=True)
    home.readlink().rmdir()
    memory.prepare(home, print, wanted=False)
    assert memory.is_in_memory(home)
    assert home.is_dir()


def test_is_on_the_disk_unless_it_is_wanted_elsewhere(home: Path) -> None:
    memory.prepare(home, print, wanted=False)
    assert not home.exists()
    home.mkdir(parents=True)
    said: list[str] = []
    memory.prepare(home, said.append, wanted=True)
    assert not home.is_symlink()
    assert "wipe the lab first" in said[0]
    memory.remove(home)
    assert not home.exists()


@pytest.mark.parametrize("room", ["_ROOM_BYTES", "_BESIDES_BYTES"])
def test_is_on_the_disk_where_there_is_no_room(
    home: Path, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    monkeypatch.setattr(memory, room, 2**60)
    said: list[str] = []
    memory.prepare(home, said.append, wanted=True)
    assert not home.is_symlink()
    assert "too little room" in said[0]


def test_what_lies_beside_a_lab_is_where_it_is(home: Path) -> None:
    beside = home.with_name("bench")
    memory.prepare_beside(beside, home)
    assert not beside.is_symlink()
    memory.prepare(home, print, wanted=True)
    memory.prepare_beside(beside, home)
    assert memory.is_in_memory(beside)
    assert beside.resolve() != home.resolve()
