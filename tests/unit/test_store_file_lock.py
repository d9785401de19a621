"""Waiting for a folder has an end, and the error says who to look for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cowpath.core.errors import UnavailableError, UsageError
from cowpath.core.model import Bytes, StoreName, disk_name
from cowpath.stores import STORES
from cowpath.stores.file import _lock
from cowpath.stores.file._lock import FolderLock
from cowpath.stores.file.config import FileConfig
from cowpath.testing.clock import FakeClock


@contextmanager
def _taken(path: Path) -> Iterator[int]:
    """Hold the lock by a descriptor of its own, as another process does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fd
    finally:
        os.close(fd)


def test_a_holder_that_stands_still_is_named(tmp_path: Path) -> None:
    path, clock = tmp_path / "lock", FakeClock()
    lock = FolderLock(path, clock)
    words = rf"cannot make disk a: .*{path} for 60 s; nothing was changed.*fuser -v"
    with (
        _taken(path),
        pytest.raises(UnavailableError, match=words),
        lock.held("cannot make disk a"),
    ):
        pytest.fail("had it")
    assert 60 <= clock.now() < 61
    with lock.held("cannot make disk b") as fd:
        assert os.path.samestat(os.fstat(fd), path.stat())


def test_a_lock_that_comes_free_is_taken(tmp_path: Path) -> None:
    path, clock = tmp_path / "lock", FakeClock()
    with _taken(path) as other:

        def let_go() -> None:
            if clock.now() > 30:
                fcntl.flock(other, fcntl.LOCK_UN)

        clock.watch(let_go)
        with FolderLock(path, clock).held("cannot make disk a"):
            assert 30 < clock.now() < 31
    assert max(clock.slept) < 0.1


def test_threads_do_not_wait_for_ever_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "_PATIENCE", 0.01)
    lock = FolderLock(tmp_path / "lock", FakeClock())
    with (
        lock.held("cannot make disk a"),
        pytest.raises(UnavailableError, match=r"cannot make disk b.*fuser"),
        lock.held("cannot make disk b"),
    ):
        pytest.fail("had it")
    with lock.held("cannot make disk b"):
        pass


def test_descriptors_are_not_lost_while_waiting(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (
        _taken(path),
        pytest.raises(UnavailableError),
        FolderLock(path, FakeClock()).held("cannot make disk a"),
    ):
        pytest.fail("had it")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_store_says_what_it_could_not_do(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    config = FileConfig(
        StoreName("edge1"), str(tmp_path / "images"), str(tmp_path / "disks")
    )
    store = STORES["file"].make(config, FakeClock())
    store.delete(disk_name("a"))  # so that our directories are there
    with _taken(tmp_path / "disks" / ".cowpath" / "lock"):
        with pytest.raises(UnavailableError, match="cannot delete disk a"):
            store.delete(disk_name("a"))
        assert list(store.disks()) == []
        assert store.capacity().total > Bytes(0)


def test_a_store_that_waits_needs_a_clock(tmp_path: Path) -> None:
    config = FileConfig(StoreName("edge1"), str(tmp_path / "i"), str(tmp_path / "d"))
    with pytest.raises(UsageError, match="clock"):
        STORES["file"].make(config)
