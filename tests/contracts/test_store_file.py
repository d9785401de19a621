"""The file store keeps every promise of a store, and some of its own."""

import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

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
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    Location,
    StoreName,
    disk_name,
)
from cowpath.core.ports import Store
from cowpath.core.rules import check_adoption
from cowpath.stores import STORES
from cowpath.stores.file.config import FileConfig
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import IMAGE, SIZE
from cowpath.testing.store_lives import pattern
from cowpath.testing.store_suite import StoreSuite

DATA = pattern(1, SIZE)
_NOBODY = 65534
# An overlay takes 196 KiB, its mark one page more.
_ROOMS = [1024 * kib for kib in (0, 4, 8, 64, 128, *range(184, 212, 4), 256)]
_EDGE = StoreName("edge1")


class FileDoors(StoreDoors):
    """Two directories, looked at with the operating system and QEMU's tools only."""

    def __init__(self, home: Path) -> None:
        # Characters that QEMU gives a meaning, where a path lets it.
        self.images = home / "glance images:1,a%20b"
        self.disks = home / "-o disks:2,b"
        self.bases = self.disks / "bases"
        self.images.mkdir()
        self.config = FileConfig(_EDGE, str(self.images), str(self.disks))
        self.store = self.another()
        self.name = _EDGE

    def another(self) -> Store:
        return STORES["file"].make(self.config, SystemClock())

    def put(self, image: ImageId, data: bytes, present: int | None = None) -> None:
        (self.images / image).write_bytes(data[:present])

    def remove(self, image: ImageId) -> None:
        (self.images / image).unlink()

    def location(self, image: ImageId) -> Location:
        # As glance_store's get_uri does: not encoded.
        return Location(f"file://{self.images}/{image}", _EDGE)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        link = self.images.with_name("link")
        if not link.is_symlink():
            link.symlink_to(self.images)
        here = self.images
        return {
            "another directory": f"file:///etc/{image}",
            "another image's": f"file://{here}/{other}",
            "dots": f"file://{here}/../{here.name}/{image}",
            "encoded dots": f"file://{here}/%2e%2e/{here.name}/{image}",
            "dots to another's": f"file://{here}/{image}/../{other}",
            "through a link": f"file://{link}/{image}",
            "another scheme": f"filesystem://{here}/{image}",
            "a web server": f"http://{here}/{image}",
            "a host": f"file://host{here}/{image}",
            "localhost": f"file://localhost{here}/{image}",
            "a query": f"file://{here}/{image}?x",
            "a fragment": f"file://{here}/{image}#x",
            "doubled slash": f"file://{here}//{image}",
            "no path": "file://",
            "no scheme": f"{here}/{image}",
            "a newline": f"file://{here}/{image}\n",
            "a null": f"file://{here}/{image}\0",
            "json": f'json:{{"file.filename": "{here}/{image}"}}',
        }

    def read(self, disk: Disk) -> bytes:
        with tempfile.TemporaryDirectory() as home:
            raw = Path(home) / "raw"
            _run(
                "qemu-img",
                "convert",
                "-U",
                "-f",
                "qcow2",
                "-O",
                "raw",
                _path(disk),
                raw,
            )
            return raw.read_bytes()

    def write(self, disk: Disk, offset: int, data: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            order = f"write -s {file.name} {offset} {len(data)}"
            said = _run("qemu-io", "-f", "qcow2", "-c", order, _path(disk))
            assert f"wrote {len(data)}/{len(data)}" in said

    @contextmanager
    def held(self, disk: Disk) -> Iterator[None]:
        pipe = subprocess.PIPE
        command = ["qemu-io", "-f", "qcow2", _path(disk)]
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as guest:
            assert guest.stdin
            assert guest.stdout
            guest.stdin.write("length\n")
            guest.stdin.flush()
            assert "MiB" in guest.stdout.readline()
            yield
            guest.stdin.close()

    def copy(self, disk: Disk, name: DiskName) -> None:
        shutil.copy2(_path(disk), self.disks / f"{name}.qcow2")

    def everything(self) -> object:
        return {
            str(path): (path.stat().st_ino, hashlib.sha256(path.read_bytes()).digest())
            for path in self.images.parent.rglob("*")
            if path.is_file() and path.name != "lock"
        }

    def fill_up(self) -> None:
        self.leave(0)

    def leave(self, room: int) -> None:
        """Leave so many bytes; on a small filesystem only."""
        ballast = self.images / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        size = max(0, ballast.stat().st_size - room)
        with ballast.open("r+b") as file:
            file.truncate(size)


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
        with _Child(lambda: _clone_with(fake, site, base, disk_name("a"))) as child:
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
            children.enter_context(_Child(lambda: work(1)))
            children.enter_context(_Child(lambda: work(2)))
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
        children = [stack.enter_context(_Child(work)) for _ in range(6)]
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
        config = FileConfig(_EDGE, str(site.images), str(home / "disks"))
        store = STORES["file"].make(config, SystemClock())
        base = store.find_base(_image(site))
        assert base is not None
        with pytest.raises(ConfigError, match="different filesystems"):
            store.clone(base, disk_name("a"))
        assert list(store.disks()) == []


def test_link_refused_by_the_kernel_names_the_cure(site: FileDoors) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    if Path("/proc/sys/fs/protected_hardlinks").read_text().strip() != "1":
        pytest.skip("fs.protected_hardlinks is off here")
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        site = FileDoors(Path(home))
        site.put(IMAGE, DATA)
        site.disks.mkdir()
        os.chown(site.disks, _NOBODY, _NOBODY)

        def work() -> None:
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            with pytest.raises(ForbiddenError, match="protected_hardlinks"):
                site.store.clone(_base(site), disk_name("a"))
            (site.images / IMAGE).open("rb").close()

        with _Child(work) as child:
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

    with _Child(work) as child:
        return child.code() != 0


def _clone_with(qemu_img: str, site: FileDoors, base: Base, name: DiskName) -> None:
    with tempfile.TemporaryDirectory() as home:
        program = Path(home) / "qemu-img"
        program.write_text(f"#!/bin/sh\n{qemu_img}\n")
        program.chmod(0o755)
        os.environ["PATH"] = f"{home}:{os.environ['PATH']}"
        site.another().clone(base, name)


class _Child:
    """A process of its own, which is killed at the end if it is still there."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._code: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            with suppress(BaseException):
                work()
                os._exit(0)
            os._exit(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            self.code()

    def code(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code


@contextmanager
def small_filesystem(parent: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    home = parent / "small"
    home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", str(home)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield home
    finally:
        _run("umount", home)


def _path(disk: Disk) -> str:
    assert isinstance(disk.source, FileSource)
    return disk.source.path


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout
