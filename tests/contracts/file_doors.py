"""A file store's two directories, and hands that do not lead through it."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from cowpath.clock import SystemClock
from cowpath.core.model import (
    Disk,
    DiskName,
    FileSource,
    ImageId,
    Location,
    StoreName,
)
from cowpath.core.ports import Store
from cowpath.stores import STORES
from cowpath.stores.file.config import FileConfig
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_lives import pattern

EDGE = StoreName("edge1")
NOBODY = 65534


class FileDoors(StoreDoors):
    """Two directories, looked at with the operating system and QEMU's tools only."""

    def __init__(self, home: Path) -> None:
        # Characters that QEMU gives a meaning, where a path lets it.
        self.images = home / "glance images:1,a%20b"
        self.disks = home / "-o disks:2,b"
        self.bases = self.disks / "bases"
        self.images.mkdir()
        self.config = FileConfig(EDGE, str(self.images), str(self.disks))
        self.store = self.another()
        self.name = EDGE

    def another(self) -> Store:
        return STORES["file"].make(self.config, SystemClock())

    def put(self, image: ImageId, data: bytes, present: int | None = None) -> None:
        (self.images / image).write_bytes(data[:present])

    def remove(self, image: ImageId) -> None:
        (self.images / image).unlink()

    def put_leftover(self, image: ImageId, size: int) -> None:
        (self.images / image).write_bytes(pattern(5, size))

    def put_refused(self, image: ImageId, size: int) -> None:
        # Nothing marks a file as whole but its size.
        self.put_leftover(image, size)

    def kept(self, image: ImageId) -> int:
        return len(self._aside(image))

    def restore(self, said: str) -> None:
        _run("sh", "-c", said.partition("to restore it: ")[2])

    def forget_kept(self, image: ImageId) -> None:
        for path in self._aside(image):
            path.unlink()

    def _aside(self, image: ImageId) -> list[Path]:
        return list((self.disks / "leftovers").glob(f"{image}.*"))

    def location(self, image: ImageId) -> Location:
        # As glance_store's get_uri does: not encoded.
        return Location(f"file://{self.images}/{image}", EDGE)

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


class Child:
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
    with _mounted(home, "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs"):
        yield home


@contextmanager
def filesystem_with_shared_blocks(parent: Path) -> Iterator[Path]:
    make = shutil.which("mkfs.xfs")
    if os.geteuid() != 0 or not make:
        pytest.skip("needs root and mkfs.xfs, to mount a filesystem in a file")
    room, home = parent / "room", parent / "shared"
    home.mkdir()
    with room.open("wb") as file:
        file.truncate(320 * 1024**2)  # XFS takes no less than 300 MiB; a hole
    _run(make, "-q", "-m", "reflink=1", room)
    with _mounted(home, "-o", "loop", str(room)):
        yield home


@contextmanager
def _mounted(home: Path, *what: str) -> Iterator[None]:
    command = ["mount", *what, str(home)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount {what[-1]} here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        _run("umount", home)


@contextmanager
def immutable(directory: Path) -> Iterator[None]:
    """Let nobody change the directory, not even root."""
    need_root()
    lock = ["chattr", "+i", str(directory)]
    if subprocess.run(lock, check=False, capture_output=True).returncode:
        pytest.skip("no immutable directories on this filesystem")
    try:
        yield
    finally:
        _run("chattr", "-i", directory)


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user or to lock a directory")


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _path(disk: Disk) -> str:
    assert isinstance(disk.source, FileSource)
    return disk.source.path


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout
