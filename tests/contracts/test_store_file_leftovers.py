"""What a broken copy left among Glance's files is moved, or left alone; never lost."""

import errno
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cowpath.clock import SystemClock
from cowpath.core.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
)
from cowpath.core.model import Base, Image, ImageId, Leftover, disk_name
from cowpath.core.ports import Store
from cowpath.stores import STORES
from cowpath.stores.file import _lease
from cowpath.stores.file._folder import Folder
from cowpath.stores.file.config import FileConfig
from cowpath.testing.clock import FakeClock
from cowpath.testing.store_fixtures import IMAGE, OTHER, SIZE, base_of
from cowpath.testing.store_lives import pattern
from tests.contracts.file_doors import (
    EDGE,
    NOBODY,
    Child,
    FileDoors,
    become_nobody,
    immutable,
    need_root,
    small_filesystem,
)

_DATA = pattern(1, SIZE)
_PART = _DATA[: SIZE // 2]


@pytest.fixture
def site(tmp_path: Path) -> FileDoors:
    return FileDoors(tmp_path)


@pytest.fixture
def found(site: FileDoors) -> Leftover:
    site.put(IMAGE, _PART)
    return _leftover(site)


class TestMoving:
    def test_the_very_file_is_kept(self, site: FileDoors, found: Leftover) -> None:
        before = _file(site).stat()
        assert found.where == str(_file(site))
        assert found.present == before.st_size == len(_PART)
        said = site.store.set_aside(found, _yes)
        kept = _kept(site, 1)
        assert str(kept) in said
        assert os.path.samestat(kept.stat(), before)
        assert kept.read_bytes() == _PART

    def test_answer_restores_it(self, site: FileDoors, found: Leftover) -> None:
        said = site.store.set_aside(found, _yes)
        _shell(said.partition("to restore it: ")[2])
        assert _file(site).read_bytes() == _PART
        assert _leftover(site) == found

    def test_answer_never_restores_onto_a_new_copy(
        self, site: FileDoors, found: Leftover
    ) -> None:
        said = site.store.set_aside(found, _yes)
        site.put(IMAGE, _DATA)
        _shell(said.partition("to restore it: ")[2], check=False)
        assert _file(site).read_bytes() == _DATA
        assert _kept(site, 1).read_bytes() == _PART

    def test_cure_by_hand_does_the_same(self, site: FileDoors, found: Leftover) -> None:
        _shell(found.cure)
        assert not _file(site).exists()
        assert _kept(site, 1).read_bytes() == _PART

    def test_what_another_takes_the_name_of_meanwhile_is_not_lost(
        self, site: FileDoors, found: Leftover, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The printed commands take no lock of ours, and `mv -n` a moment.
        choose = Folder.free_aside

        def choose_and_lose(folder: Folder, image: ImageId) -> Path:
            name = choose(folder, image)
            name.parent.mkdir()
            name.write_bytes(b"theirs")
            return name

        monkeypatch.setattr(Folder, "free_aside", choose_and_lose)
        with pytest.raises(ConflictError, match="has just made"):
            site.store.set_aside(found, _yes)
        assert _kept(site, 1).read_bytes() == b"theirs"
        assert _file(site).read_bytes() == _PART

    def test_empty_leftover_is_moved(self, site: FileDoors) -> None:
        site.put(IMAGE, b"")
        site.store.set_aside(_leftover(site), _yes)
        assert _kept(site, 1).read_bytes() == b""

    def test_disks_of_an_older_copy_do_not_hinder(self, site: FileDoors) -> None:
        # Glance removed its copy, and the next one broke: the disks have our link.
        disk = site.store.clone(base_of(site, IMAGE, _DATA), disk_name("a"))
        site.remove(IMAGE)
        site.put(IMAGE, _PART)
        site.store.set_aside(_leftover(site), _yes)
        assert site.read(disk) == _DATA
        assert _kept(site, 1).read_bytes() == _PART

    def test_link_of_a_killed_call_does_not_hinder(self, site: FileDoors) -> None:
        base = base_of(site, IMAGE, _DATA)
        site.store.clone(base, disk_name("a"))
        (site.disks / "a.qcow2").unlink()  # as if the call had never come so far
        assert _file(site).stat().st_nlink == 2
        site.store.set_aside(_leftover(site), _yes)
        assert _kept(site, 1).stat().st_nlink == 1

    def test_who_only_looks_does_not_hinder(
        self, site: FileDoors, found: Leftover
    ) -> None:
        with ExitStack() as looking:
            looking.enter_context(_file(site).open("rb"))
            clock = FakeClock()
            clock.watch(looking.close)
            STORES["file"].make(site.config, clock).set_aside(found, _yes)
        assert site.kept(IMAGE)

    def test_killed_at_every_step(self, site: FileDoors) -> None:
        moved = []
        for step in itertools.count(1):
            site.put(IMAGE, _PART)
            killed = _move_and_die(site, step)
            kept = list((site.disks / "leftovers").glob("*"))
            left = site.another().leftover(_image(site))
            assert [path.read_bytes() for path in kept] == [_PART] * (left is None)
            moved.append(left is None)
            if left:
                site.another().set_aside(left, _yes)
            shutil.rmtree(site.disks / "leftovers")
            if not killed:
                break
        assert moved == sorted(moved)
        assert len(moved) > 10
        assert moved[-1]


class TestLeftAlone:
    def test_file_that_changed_while_glance_was_asked(
        self, site: FileDoors, found: Leftover
    ) -> None:
        def replace_it() -> None:
            _file(site).unlink()
            site.put(IMAGE, _PART)  # the same size, and maybe the same inode number

        def grow() -> None:
            site.put(IMAGE, _DATA)

        _check_stays(site, found, ConflictError, replace_it)
        _check_stays(site, found, NotFoundError, grow)
        found = _leftover(site)
        with pytest.raises(NotFoundError, match="is gone"):
            site.store.set_aside(found, _file(site).unlink)
        assert not site.kept(IMAGE)

    @pytest.mark.parametrize("mode", ["rb", "ab"])
    def test_file_that_somebody_has_open(
        self, site: FileDoors, found: Leftover, mode: str
    ) -> None:
        with _file(site).open(mode):
            _check_stays(site, found, BusyError, _never, match="fuser -v '/")
        site.store.set_aside(found, _yes)

    def test_file_that_another_process_has_open(
        self, site: FileDoors, found: Leftover
    ) -> None:
        command = ["sh", "-c", 'exec 3>>"$1"; echo; read x', "sh", found.where]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as writer:
            assert writer.stdout
            writer.stdout.readline()
            _check_stays(site, found, BusyError, _never)
            writer.kill()
        site.store.set_aside(found, _yes)

    def test_file_that_is_opened_while_glance_is_asked(
        self, site: FileDoors, found: Leftover
    ) -> None:
        opened = []

        def confirm() -> None:
            opened.append(_file(site).open("ab"))

        _check_stays(site, found, BusyError, confirm)
        opened.pop().close()
        site.store.set_aside(found, _yes)

    def test_glance_does_not_wait_for_us(
        self, site: FileDoors, found: Leftover
    ) -> None:
        def write() -> None:
            # While a lease is held, this would be refused, or wait for its end.
            fd = os.open(found.where, os.O_WRONLY | os.O_NONBLOCK)
            os.close(fd)

        site.store.set_aside(found, write)
        assert site.kept(IMAGE)

    def test_base_of_a_disk(self, site: FileDoors) -> None:
        site.store.clone(_whole(site), disk_name("a"))
        found = _leftover(site)
        _check_stays(site, found, ConflictError, _never, match=r"a\.qcow2 lies on")

    @pytest.mark.parametrize("below", ["{}", "/elsewhere/mounted/" + IMAGE])
    def test_file_that_an_overlay_of_others_lies_on(
        self, site: FileDoors, found: Leftover, below: str
    ) -> None:
        overlay = site.disks / "theirs.img"
        site.disks.mkdir()
        create = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b"]
        backing = below.format(found.where)
        subprocess.run([*create, backing, str(overlay), "1M"], check=True)
        _check_stays(site, found, ConflictError, _never, match=r"theirs\.img")

    def test_file_with_other_hard_links(self, site: FileDoors, found: Leftover) -> None:
        os.link(found.where, site.images / "precious")
        _check_stays(site, found, ConflictError, _never, match="1 other hard link")

    @pytest.mark.parametrize("kind", ["directory", "fifo", "link", "broken link"])
    def test_what_is_no_file(self, site: FileDoors, tmp_path: Path, kind: str) -> None:
        precious = tmp_path / "precious"
        precious.write_bytes(_PART)
        makers: dict[str, Callable[[], object]] = {
            "directory": _file(site).mkdir,
            "fifo": lambda: os.mkfifo(_file(site)),
            "link": lambda: _file(site).symlink_to(precious),
            "broken link": lambda: _file(site).symlink_to("nowhere"),
        }
        makers[kind]()
        found = _leftover(site)
        assert found.present == 0
        _check_stays(site, found, ConflictError, _never, match="no regular file")
        assert os.path.lexists(_file(site))
        assert precious.read_bytes() == _PART

    def test_file_that_becomes_a_link(
        self, site: FileDoors, found: Leftover, tmp_path: Path
    ) -> None:
        precious = tmp_path / "precious"
        precious.write_bytes(_PART)

        def swap() -> None:
            _file(site).unlink()
            _file(site).symlink_to(precious)

        _check_stays(site, found, ConflictError, swap)
        assert precious.read_bytes() == _PART
        assert _file(site).is_symlink()

    def test_answer_about_one_that_is_kept_already_restores_that(
        self, site: FileDoors, found: Leftover
    ) -> None:
        site.store.set_aside(found, _yes)
        site.put(IMAGE, _DATA)
        with pytest.raises(ConflictError) as caught:
            site.store.set_aside(_leftover(site), _never)
        _file(site).rename(site.images / "elsewhere")
        _shell(str(caught.value).partition("was moved away: ")[2])
        assert _file(site).read_bytes() == _PART
        assert site.kept(IMAGE) == 0

    @pytest.mark.parametrize("when", ["before", "meanwhile"])
    @pytest.mark.parametrize("kind", ["link", "broken link", "file"])
    def test_where_leftovers_is_no_directory(
        self, site: FileDoors, found: Leftover, tmp_path: Path, kind: str, when: str
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        ours = site.disks / "leftovers"

        def spoil() -> None:
            makers: dict[str, Callable[[], object]] = {
                "link": lambda: ours.symlink_to(elsewhere),
                "broken link": lambda: ours.symlink_to("nowhere"),
                "file": lambda: ours.write_bytes(b""),
            }
            makers[kind]()

        if when == "before":
            site.disks.mkdir()
            spoil()
        confirm = _never if when == "before" else spoil
        _check_stays(site, found, ConfigError, confirm, match="is no directory, or a")
        assert not list(elsewhere.iterdir())


class TestCannotTell:
    @pytest.mark.parametrize("kind", ["nfs4", "ceph", "fuse.glusterfs", None])
    def test_shared_filesystem(
        self,
        site: FileDoors,
        found: Leftover,
        monkeypatch: pytest.MonkeyPatch,
        kind: str | None,
    ) -> None:
        monkeypatch.setattr(_lease, "_filesystem", lambda _: kind)
        _check_stays(site, found, ForbiddenError, _never, match=kind or "unknown")

    def test_the_error_has_the_cure_by_hand(
        self, site: FileDoors, found: Leftover, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "_filesystem", lambda _: "nfs4")
        with pytest.raises(ForbiddenError) as caught:
            site.store.set_aside(found, _never)
        _shell(str(caught.value).partition("by hand: ")[2])
        assert _kept(site, 1).read_bytes() == _PART

    def test_leases_that_are_switched_off(
        self, site: FileDoors, found: Leftover, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask = fcntl.fcntl

        def refuse(fd: int, order: int, argument: int = 0) -> object:
            if order == fcntl.F_SETLEASE:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return ask(fd, order, argument)

        monkeypatch.setattr(fcntl, "fcntl", refuse)
        _check_stays(site, found, ForbiddenError, _never, match="Invalid argument")

    def test_filesystem_is_known_by_its_mount(self, tmp_path: Path) -> None:
        with small_filesystem(tmp_path) as home, (home / "x").open("wb") as file:
            assert _lease._filesystem(file.fileno()) == "tmpfs"
        known = ["findmnt", "-n", "-o", "FSTYPE", "-T", str(tmp_path)]
        told = subprocess.run(known, check=True, capture_output=True, text=True)
        with (tmp_path / "x").open("wb") as file:
            assert _lease._filesystem(file.fileno()) == told.stdout.strip()

    def test_file_of_another_user(self) -> None:
        need_root()
        with tempfile.TemporaryDirectory() as home:
            Path(home).chmod(0o755)
            site = FileDoors(Path(home))
            site.put(IMAGE, _PART)
            site.disks.mkdir()
            for path in (site.disks, site.images):
                os.chown(path, NOBODY, NOBODY)

            def work() -> None:
                become_nobody()
                found = _leftover(site)
                with pytest.raises(ForbiddenError, match="only its owner or root"):
                    site.store.set_aside(found, _never)

            with Child(work) as child:
                assert child.code() == 0
            assert _file(site).read_bytes() == _PART
            assert not site.kept(IMAGE)


def test_whoever_opens_the_file_meanwhile_ends_nobody(
    found: Leftover, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = fcntl.fcntl

    def ask_and_meet(fd: int, order: int, argument: int = 0) -> object:
        answer = ask(fd, order, argument)
        if (order, argument) == (fcntl.F_SETLEASE, fcntl.F_WRLCK):
            with pytest.raises(BlockingIOError):
                os.open(found.where, os.O_RDONLY | os.O_NONBLOCK)
        return answer

    def work() -> None:
        # By this the kernel tells a lease's holder that it is in somebody's way.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fd = os.open(found.where, os.O_RDONLY)
        _lease.check_closed(fd, Path(found.where), found.cure, SystemClock())

    monkeypatch.setattr(fcntl, "fcntl", ask_and_meet)
    with Child(work) as child:
        assert child.code() == 0


def test_two_filesystems_are_refused(tmp_path: Path) -> None:
    with small_filesystem(tmp_path) as home:
        site = FileDoors(tmp_path)
        site.put(IMAGE, _PART)
        store = _store(site.images, home / "disks")
        found = store.leftover(_image(site))
        assert found is not None
        with pytest.raises(ConfigError, match="another filesystem"):
            store.set_aside(found, _yes)
        assert _file(site).read_bytes() == _PART


def test_directory_that_may_not_be_changed(site: FileDoors, found: Leftover) -> None:
    with immutable(site.images), pytest.raises(ForbiddenError, match="check who owns"):
        site.store.set_aside(found, _yes)
    assert _leftover(site) == found


def _image(site: FileDoors) -> Image:
    image = site.image(IMAGE, SIZE, shown=False)
    return replace(image, stores=frozenset())


def _file(site: FileDoors) -> Path:
    return site.images / IMAGE


def _kept(site: FileDoors, number: int) -> Path:
    return site.disks / "leftovers" / f"{IMAGE}.{number}"


def _leftover(site: FileDoors) -> Leftover:
    found = site.store.leftover(_image(site))
    assert found is not None
    return found


def _whole(site: FileDoors) -> Base:
    base_of(site, OTHER, _DATA)
    return base_of(site, IMAGE, _DATA)


def _yes() -> None:
    """Confirm."""


def _never() -> None:
    pytest.fail("Glance was asked although the file is left alone")


def _store(images: Path, disks: Path) -> Store:
    return STORES["file"].make(FileConfig(EDGE, str(images), str(disks)), SystemClock())


def _check_stays(
    site: FileDoors,
    found: Leftover,
    error: type[Exception],
    confirm: Callable[[], object],
    match: str = IMAGE,
) -> None:
    def ask() -> None:
        confirm()

    with pytest.raises(error, match=match) as caught:
        site.store.set_aside(found, ask)
    assert type(caught.value) is error
    assert os.path.lexists(_file(site))
    assert not site.kept(IMAGE)


def _move_and_die(site: FileDoors, step: int) -> bool:
    """Set aside in a process that kills itself at its `step`-th call of the system."""
    found = _leftover(site)

    def work() -> None:
        store = site.another()
        left = [step]

        def count(event: str, _: object) -> None:
            left[0] -= event.startswith(("os.", "open", "fcntl.", "ctypes."))
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        store.set_aside(found, _yes)

    with Child(work) as child:
        return child.code() != 0


def _shell(text: str, *, check: bool = True) -> None:
    command = ["sh", "-c", text]
    subprocess.run(command, check=check, capture_output=True)
