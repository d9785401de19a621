"""The file store keeps every promise of a store, and some of its own."""

import fcntl
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from cowpath.clock import SystemClock
from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    ForbiddenError,
    NoSpaceError,
)
from cowpath.core.model import (
    Base,
    Bytes,
    DiskName,
    Image,
    disk_name,
)
from cowpath.core.rules import check_adoption
from cowpath.stores import STORES
from cowpath.stores.file.config import FileConfig
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import IMAGE, SIZE
from cowpath.testing.store_lives import pattern
from cowpath.testing.store_suite import StoreSuite
from tests.contracts.file_doors import (
    EDGE,
    NOBODY,
    Child,
    FileDoors,
    become_nobody,
    need_root,
    small_filesystem,
)

DATA = pattern(1, SIZE)
# An overlay takes 196 KiB, its mark one page more.
_ROOMS = [1024 * kib for kib in (0, 4, 8, 64, 128, *range(184, 212, 4), 256)]


class TestFileStore(StoreSuite):
    @pytest.fixture
    def site(self, tmp_path: Path) -> StoreDoors:
        return FileDoors(tmp_path)

    @pytest.fixture
    def tight(self, tmp_path: Path) -> Iterator[StoreDoors]:
        with small_filesystem(tmp_path) as home:
            yield FileDoors(home)


@pytest.fixture
def site(tmp_path: Path) -> FileDoors:
    return FileDoors(tmp_path)


@pytest.fixture
def base(site: FileDoors) -> Base:
    site.put(IMAGE, DATA)
    return _base(site)


class TestKilled:
    """`kill -9` at any moment leaves no disk, or a whole one with our mark."""

    def test_at_every_step(self, site: FileDoors, base: Base) -> None:
        for step in itertools.count(1):
            name = disk_name(f"victim-{step}")
            killed = _clone_and_die(site, base, name, step)
            left = site.another().find_disk(name)
            if left:
                check_adoption(left, _image(site), SIZE, untouched=True)
                assert site.read(left) == DATA
            else:
                site.store.clone(base, name)
            _check_tidy(site)
            if not killed:
                break
        assert step > 10
        assert len(list(site.store.disks())) == step

    def test_while_qemu_img_goes_on(
        self, site: FileDoors, base: Base, tmp_path: Path
    ) -> None:
        # The orphan goes on when it is told to, and nobody takes the lock from it.
        go = tmp_path / "go"
        os.mkfifo(go)
        fake = f'kill -9 $PPID; read line < {go}; exec /usr/bin/qemu-img "$@"'
        with Child(lambda: _clone_with(fake, site, base, disk_name("a"))) as child:
            assert child.code() == -signal.SIGKILL
        lock = site.disks / ".cowpath" / "lock"
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        go.write_text("go\n")
        site.another().clone(base, disk_name("b"))
        assert [disk.name for disk in site.store.disks()] == ["b"]
        _check_tidy(site)

    def test_many_at_random(self, site: FileDoors, base: Base) -> None:
        def work(number: int) -> None:
            for turn in range(100):
                site.another().clone(base, disk_name(f"w{number}-{turn}"))

        with ExitStack() as children:
            children.enter_context(Child(lambda: work(1)))
            children.enter_context(Child(lambda: work(2)))
            for turn in range(6):
                site.another().clone(base, disk_name(f"mine-{turn}"))
        site.store.clone(base, disk_name("last"))
        disks = list(site.store.disks())
        assert all(disk.marked and site.store.untouched(disk) for disk in disks)
        assert site.read(disks[0]) == DATA
        _check_tidy(site)


def test_one_of_many_processes_gets_a_name(site: FileDoors, base: Base) -> None:
    def work() -> None:
        with suppress(ConflictError):
            site.another().clone(base, disk_name("a"))
            os._exit(7)

    with ExitStack() as stack:
        children = [stack.enter_context(Child(work)) for _ in range(6)]
        assert sorted(child.code() for child in children) == [0] * 5 + [7]
    assert [disk.name for disk in site.store.disks()] == ["a"]


@pytest.mark.parametrize("room", _ROOMS)
def test_whatever_room_is_left(tmp_path: Path, room: int) -> None:
    with small_filesystem(tmp_path) as home:
        site = FileDoors(home)
        site.put(IMAGE, DATA)
        base = _base(site)
        site.store.delete(disk_name("absent"))  # so that our directories are there
        site.leave(room)
        before = site.everything()
        try:
            disk = site.store.clone(base, disk_name("a"))
        except NoSpaceError:
            assert site.everything() == before
            assert not list(site.bases.iterdir())
        else:
            assert site.read(disk) == DATA
        _check_tidy(site)


def test_no_room_to_grow(tmp_path: Path) -> None:
    with small_filesystem(tmp_path) as home:
        site = FileDoors(home)
        site.put(IMAGE, DATA)
        disk = site.store.clone(_base(site), disk_name("a"))
        site.leave(0)
        with pytest.raises(NoSpaceError, match="a"):
            site.store.grow(disk, Bytes(2**48))
        assert site.store.find_disk(disk.name) == disk
        assert site.read(disk) == DATA


def test_two_filesystems_are_refused(tmp_path: Path) -> None:
    with small_filesystem(tmp_path) as home:
        site = FileDoors(tmp_path)
        site.put(IMAGE, DATA)
        config = FileConfig(EDGE, str(site.images), str(home / "disks"))
        store = STORES["file"].make(config, SystemClock())
        base = store.find_base(_image(site))
        assert base is not None
        with pytest.raises(ConfigError, match="different filesystems"):
            store.clone(base, disk_name("a"))
        assert list(store.disks()) == []


def test_link_refused_by_the_kernel_names_the_cure(site: FileDoors) -> None:
    need_root()
    if Path("/proc/sys/fs/protected_hardlinks").read_text().strip() != "1":
        pytest.skip("fs.protected_hardlinks is off here")
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        site = FileDoors(Path(home))
        site.put(IMAGE, DATA)
        site.disks.mkdir()
        os.chown(site.disks, NOBODY, NOBODY)

        def work() -> None:
            become_nobody()
            with pytest.raises(ForbiddenError, match="protected_hardlinks"):
                site.store.clone(_base(site), disk_name("a"))
            (site.images / IMAGE).open("rb").close()

        with Child(work) as child:
            assert child.code() == 0
        assert not list(site.bases.iterdir())


def _image(site: FileDoors) -> Image:
    return site.image(IMAGE, SIZE)


def _base(site: FileDoors) -> Base:
    base = site.store.find_base(_image(site))
    assert base is not None
    return base


def _check_tidy(site: FileDoors) -> None:
    """Nothing half-made, no link without a disk, after the next call."""
    site.store.delete(disk_name("absent"))
    disks = list(site.store.disks())
    top = {path.name for path in site.disks.iterdir()}
    assert top == {f"{disk.name}.qcow2" for disk in disks} | {"bases", ".cowpath"}
    assert {path.name for path in site.bases.iterdir()} == {
        disk.image for disk in disks
    }
    marks = {path.name for path in (site.disks / ".cowpath" / "marks").iterdir()}
    assert marks == {f"{disk.name}.json" for disk in disks if disk.marked}
    making = site.disks / ".cowpath" / "making"
    assert list(making.iterdir()) == []


def _clone_and_die(site: FileDoors, base: Base, name: DiskName, step: int) -> bool:
    """Clone in a process that kills itself at its `step`-th call of the system."""

    def work() -> None:
        store = site.another()
        left = [step]

        def count(event: str, _: object) -> None:
            left[0] -= event.startswith(("os.", "open", "fcntl.", "subprocess."))
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        store.clone(base, name)

    with Child(work) as child:
        return child.code() != 0


def _clone_with(qemu_img: str, site: FileDoors, base: Base, name: DiskName) -> None:
    with tempfile.TemporaryDirectory() as home:
        program = Path(home) / "qemu-img"
        program.write_text(f"#!/bin/sh\n{qemu_img}\n")
        program.chmod(0o755)
        os.environ["PATH"] = f"{home}:{os.environ['PATH']}"
        site.another().clone(base, name)
