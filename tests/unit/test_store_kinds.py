"""Kinds of stores, what they must be told, and the store that is elsewhere."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from cowpath.core.errors import (
    ConfigError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    UnavailableError,
    UsageError,
)
from cowpath.core.model import (
    Base,
    Bytes,
    Image,
    ImageId,
    Leftover,
    Location,
    StoreName,
    disk_name,
)
from cowpath.core.ports import Bases, Store
from cowpath.stores import STORES
from cowpath.stores.elsewhere import ElsewhereBases
from cowpath.stores.file._failures import translated
from cowpath.stores.file._lock import FolderLock
from cowpath.stores.file.config import FileConfig
from cowpath.stores.file.store import FileStore
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.clock import FakeClock

_EDGE = StoreName("edge1")
_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")


def test_every_kind_is_made_from_its_own_config_only(tmp_path: Path) -> None:
    file = FileConfig(_EDGE, str(tmp_path / "images"), str(tmp_path / "disks"))
    memory = MemoryConfig(_EDGE)
    assert isinstance(STORES["file"].make(file, FakeClock()), FileStore)
    assert isinstance(STORES["memory"].make(memory), MemoryStore)
    with pytest.raises(UsageError, match="FileConfig"):
        STORES["file"].make(memory)
    assert list(tmp_path.iterdir()) == []


def test_adapters_fit_the_ports(tmp_path: Path) -> None:
    file = FileConfig(_EDGE, str(tmp_path / "images"), str(tmp_path / "disks"))
    stores: list[Store] = [
        FileStore(file, FakeClock()),
        MemoryStore(MemoryConfig(_EDGE)),
    ]
    bases: list[Bases] = [ElsewhereBases(_EDGE), *stores]
    assert all(each.territory for each in bases)


@pytest.mark.parametrize("path", ["", "images", "./images", "/a/../b", "/a\0b", "~/x"])
def test_directories_must_be_plain(path: str) -> None:
    with pytest.raises(ConfigError, match="images_dir"):
        FileConfig(_EDGE, path, "/srv/disks")
    with pytest.raises(ConfigError, match="disks_dir"):
        FileConfig(_EDGE, "/srv/images", path)


def test_directories_must_differ() -> None:
    with pytest.raises(ConfigError, match="both"):
        FileConfig(_EDGE, "/srv/images", "/srv/images/")


def test_missing_directories_are_named(tmp_path: Path) -> None:
    config = FileConfig(_EDGE, str(tmp_path / "images"), str(tmp_path / "no" / "disks"))
    store = FileStore(config, FakeClock())
    assert list(store.disks()) == []
    assert store.find_disk(disk_name("a")) is None
    assert store.find_base(Image(_IMAGE, size=Bytes(512))) is None
    with pytest.raises(ConfigError, match="images"):
        store.capacity()
    with pytest.raises(ConfigError, match="no"):
        store.delete(disk_name("a"))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EACCES, ForbiddenError),
        (errno.EROFS, ForbiddenError),
        (errno.ENOENT, ConfigError),
        (errno.EIO, UnavailableError),
    ],
)
def test_failures_of_the_system_are_translated(
    number: int, error: type[CowpathError]
) -> None:
    with (
        pytest.raises(error, match=r"cannot make disk a.*/srv/disks") as caught,
        translated("cannot make disk a", Path("/srv/disks")),
    ):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is error
    assert isinstance(caught.value.__cause__, OSError)


def test_lock_that_is_removed_while_we_wait_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    flock = fcntl.flock
    turns = iter(range(10))

    def remove_and_lock(fd: int, order: int) -> None:
        if order != fcntl.LOCK_UN and next(turns) < 2:
            path.unlink()
        flock(fd, order)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with FolderLock(path, FakeClock()).held("cannot make disk a") as lock:
        assert os.path.samestat(os.fstat(lock), path.stat())
    assert next(turns) == 3


class TestElsewhere:
    def test_is_whole_when_glance_lists_it(self) -> None:
        bases = ElsewhereBases(_EDGE)
        image = Image(_IMAGE, size=Bytes(512), stores=frozenset({_EDGE}))
        base = bases.find_base(image)
        assert base == Base(_IMAGE, "store edge1", Bytes(512))
        assert base.head == b""
        assert bases.arrival(image) is None

    @pytest.mark.parametrize(
        "image",
        [
            Image(_IMAGE, size=Bytes(512)),
            Image(_IMAGE, size=Bytes(512), stores=frozenset({StoreName("edge10")})),
            Image(_IMAGE, size=None, stores=frozenset({_EDGE})),
            Image(_IMAGE, size=Bytes(512), locations=(Location("file:///x", _EDGE),)),
        ],
    )
    def test_is_not_there_else(self, image: Image) -> None:
        assert ElsewhereBases(_EDGE).find_base(image) is None

    def test_leftovers_cannot_be_seen_nor_moved(self) -> None:
        bases = ElsewhereBases(_EDGE)
        assert bases.leftover(Image(_IMAGE, size=Bytes(512))) is None
        found = Leftover(_IMAGE, "images/x", Bytes(512), cure="rbd trash mv images/x")
        asked: list[None] = []
        with pytest.raises(ForbiddenError, match=f"{_IMAGE}.*store edge1"):
            bases.set_aside(found, lambda: asked.append(None))
        assert asked == []
