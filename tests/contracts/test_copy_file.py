"""The file store keeps every promise of an image store, and some of its own."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cowpath.clock import SystemClock
from cowpath.core.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
)
from cowpath.core.model import Arrival, Bytes, Image, ImageId, Location, StoreName
from cowpath.core.transfer import Extent, Terms, Verify
from cowpath.provision.transfer import Transfer
from cowpath.stores.file.config import FileConfig, FileImageConfig
from cowpath.stores.file.copy import FileImageStore
from cowpath.stores.file.store import FileStore
from cowpath.testing.store_fixtures import IMAGE
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_doors import ImageStoreDoors
from cowpath.testing.transfer_fixtures import ELSEWHERE, Loose, fill
from cowpath.testing.transfer_suite import ImageStoreSuite
from tests.contracts.file_doors import (
    Child,
    become_nobody,
    filesystem_with_shared_blocks,
    need_root,
    small_filesystem,
)
from tests.contracts.transfer_promises import Notes, Shelf, TransferPromises

_SECTOR = 512
_DATA = pattern(1, 3 * 65536)
_TERMS = Terms(lanes=2, chunk=Bytes(65536))


class FileImageDoors(ImageStoreDoors):
    """A directory, looked at with the operating system only."""

    def __init__(self, home: Path, name: str, *, mode: int = 0) -> None:
        self.name = StoreName(name)
        self.images = home / f"glance images:1,a%20b {name}"
        self.images.mkdir()
        self.config = FileImageConfig(self.name, str(self.images), mode)
        self.store = self.another()
        disks = str(home / f"disks of {name}")
        compute = FileConfig(self.name, str(self.images), disks)
        self._compute = FileStore(compute, SystemClock())

    def another(self) -> FileImageStore:
        return FileImageStore(self.config, SystemClock())

    def put(self, image: ImageId, data: bytes) -> None:
        (self.images / image).write_bytes(data)

    put_leftover = put

    def remove(self, image: ImageId) -> None:
        (self.images / image).unlink()

    def content(self, image: ImageId) -> bytes | None:
        path = self.images / image
        return path.read_bytes() if path.exists() else None

    def taken(self, image: ImageId) -> int:
        return (self.images / image).stat().st_blocks * _SECTOR

    def names(self) -> set[str]:
        return {path.name for path in self.images.iterdir()} - {".cowpath"}

    def kept(self, image: ImageId) -> int:
        return len(self._aside(image))

    def forget_kept(self, image: ImageId) -> None:
        for path in self._aside(image):
            path.unlink()

    def _aside(self, image: ImageId) -> list[Path]:
        return list((self.images / ".cowpath" / "leftovers").glob(f"{image}.*"))

    def draft(self, image: ImageId = IMAGE) -> Path:
        return self.images / f".cowpath-copy-{image}"

    def scribble(self, image: ImageId, offset: int, data: bytes) -> None:
        with self.draft(image).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def clone(self, image: ImageId) -> Callable[[], None]:
        link = self.images.parent / "base"
        link.hardlink_to(self.images / image)
        return link.unlink

    def location(self, image: ImageId) -> Location:
        # As glance_store's get_uri does: not encoded.
        return Location(f"file://{self.images}/{image}", self.name)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        here = self.images
        return {
            "another directory": f"file:///etc/{image}",
            "another image's": f"file://{here}/{other}",
            "dots": f"file://{here}/../{here.name}/{image}",
            "another scheme": f"rbd://{here}/{image}",
            "a host": f"file://host{here}/{image}",
        }

    def arrival(self, image: Image) -> Arrival | None:
        return self._compute.arrival(image)

    def fill_up(self) -> None:
        with (self.images / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return


class _Fixtures:
    @pytest.fixture
    def site(self, tmp_path: Path) -> ImageStoreDoors:
        return FileImageDoors(tmp_path, "edge1")

    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageStoreDoors:
        return FileImageDoors(tmp_path, "central")

    @pytest.fixture
    def tight(self, tmp_path: Path) -> Iterator[ImageStoreDoors]:
        with small_filesystem(tmp_path) as home:
            yield FileImageDoors(home, "edge1")


class TestFileImageStore(_Fixtures, ImageStoreSuite):
    pass


class TestFileTransfer(_Fixtures, TransferPromises):
    pass


@pytest.fixture
def site(tmp_path: Path) -> FileImageDoors:
    return FileImageDoors(tmp_path, "edge1")


@pytest.fixture
def image(site: FileImageDoors) -> Image:
    return site.image(IMAGE, _DATA, ELSEWHERE)


def _publish(store: FileImageStore, image: Image) -> None:
    with store.draft(image, _TERMS) as draft:
        fill(draft, Loose(_DATA, 65536))
        draft.publish()


class TestPermissions:
    @pytest.mark.parametrize("mode", [0o640, 0o600, 0o444])
    def test_those_that_glance_gives(self, tmp_path: Path, mode: int) -> None:
        site = FileImageDoors(tmp_path, "edge1", mode=mode)
        _publish(site.another(), site.image(IMAGE, _DATA, ELSEWHERE))
        assert (site.images / IMAGE).stat().st_mode & 0o777 == mode

    def test_else_those_of_the_process(
        self, site: FileImageDoors, image: Image
    ) -> None:
        umask = os.umask(0o027)
        try:
            _publish(site.another(), image)
        finally:
            os.umask(umask)
        assert (site.images / IMAGE).stat().st_mode & 0o777 == 0o640

    def test_draft_is_its_writers_alone(
        self, site: FileImageDoors, image: Image
    ) -> None:
        with site.store.draft(image, _TERMS) as draft:
            assert site.draft().stat().st_mode & 0o777 == 0o600
            draft.discard()

    def test_leftover_is_moved_when_the_copy_is_whole_and_not_before(
        self, site: FileImageDoors, image: Image
    ) -> None:
        site.put_leftover(IMAGE, b"theirs")
        with site.store.draft(image, _TERMS) as draft:
            fill(draft, Loose(_DATA, 65536))
            assert site.content(IMAGE) == b"theirs"
            draft.publish()
        assert site.content(IMAGE) == _DATA
        assert site.kept(IMAGE) == 1

    def test_directory_of_another(self, site: FileImageDoors, image: Image) -> None:
        need_root()
        site.images.parent.chmod(0o755)

        def work() -> None:
            become_nobody()
            opening = site.another().draft(image, _TERMS)
            with pytest.raises(ForbiddenError, match=IMAGE), opening:
                pass

        with Child(work) as child:
            assert child.code() == 0

    def test_absent_directory(self, site: FileImageDoors, image: Image) -> None:
        site.images.rmdir()
        opening = site.store.draft(image, _TERMS)
        with pytest.raises(ConfigError, match=IMAGE), opening:
            pass


class TestWhatLiesInTheDraftsPlace:
    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_other_name_of_a_file_is_not_written_to(
        self, site: FileImageDoors, image: Image, link: Callable[[Path, Path], None]
    ) -> None:
        victim = site.images.parent / "victim"
        victim.write_bytes(b"theirs")
        link(site.draft(), victim)
        with pytest.raises(ConflictError), site.store.draft(image, _TERMS):
            pass
        assert victim.read_bytes() == b"theirs"

    def test_draft_of_another_size_begins_anew(
        self, site: FileImageDoors, image: Image
    ) -> None:
        site.draft().write_bytes(b"x" * 100)
        with site.store.draft(image, _TERMS) as draft:
            assert not draft.resumed
            assert draft.read(Extent(Bytes(0), Bytes(100))) == bytes(100)
            draft.discard()

    def test_somebody_who_locks_it(self, site: FileImageDoors, image: Image) -> None:
        with site.draft().open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with (
                pytest.raises(BusyError, match="fuser"),
                site.store.draft(image, _TERMS),
            ):
                pass


class TestMark:
    def test_it_does_not_go_with_a_copy_of_the_file(
        self, site: FileImageDoors, image: Image
    ) -> None:
        _publish(site.another(), image)
        path = site.images / IMAGE
        mark = os.getxattr(path, "user.cowpath.copy")
        path.rename(site.images / "kept")  # so that its inode is not free
        path.write_bytes(_DATA)
        os.setxattr(path, "user.cowpath.copy", mark)
        with pytest.raises(ConflictError):
            site.store.withdraw(image)
        assert path.read_bytes() == _DATA

    def test_another_process_knows_it(self, site: FileImageDoors, image: Image) -> None:
        with Child(lambda: _publish(site.another(), image)) as child:
            assert child.code() == 0
        site.store.withdraw(image)
        assert site.names() == set()


def test_reader_of_the_copy_keeps_it_from_being_withdrawn(
    site: FileImageDoors, image: Image
) -> None:
    _publish(site.another(), image)
    with (site.images / IMAGE).open("rb"), pytest.raises(BusyError, match=IMAGE):
        site.store.withdraw(image)
    assert site.content(IMAGE) == _DATA


def test_image_that_is_written_to_while_it_is_read(
    site: FileImageDoors, image: Image
) -> None:
    site.put(IMAGE, _DATA)
    with site.store.original(image, _TERMS) as original:
        os.utime(site.images / IMAGE, ns=(1, 1))
        with pytest.raises(NotFoundError, match="written to"):
            original.unchanged()


@pytest.mark.parametrize("verify", [Verify.TRANSFER, Verify.NONE])
def test_blocks_are_shared_where_the_filesystem_can(
    tmp_path: Path, verify: Verify
) -> None:
    data = pattern(1, 8 * 1024**2)
    with filesystem_with_shared_blocks(tmp_path) as home:
        site, source = FileImageDoors(home, "edge1"), FileImageDoors(home, "central")
        source.put(IMAGE, data)
        os.sync()
        before = os.statvfs(home).f_bfree
        copied = Transfer(
            {site.name: site.store, source.name: source.store},
            {},
            lambda _source, _target: Terms(verify),
            SystemClock(),
            Notes(),
        ).copy(
            source.image(IMAGE, data, source.name),
            (site.name,),
            all_or_none=True,
            register=Shelf().add,
        )
        os.sync()
        assert copied == {site.name: site.location(IMAGE)}
        assert site.content(IMAGE) == data
        room = os.statvfs(home)
        assert (before - room.f_bfree) * room.f_frsize < len(data) // 2


def test_full_store_is_refused_at_once(tmp_path: Path) -> None:
    with small_filesystem(tmp_path) as home:
        site = FileImageDoors(home, "edge1")
        site.fill_up()
        before = site.names()
        opening = site.store.draft(site.image(IMAGE, _DATA, ELSEWHERE), _TERMS)
        with pytest.raises(NoSpaceError, match=IMAGE), opening:
            pass
        assert site.names() == before
