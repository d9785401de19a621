"""What the file store decides by itself: bases, links, marks, foreign files."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from cowpath.clock import SystemClock
from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UntrustedError,
)
from cowpath.core.model import (
    Base,
    Bytes,
    Image,
    Location,
    disk_name,
)
from cowpath.stores.file import _folder
from cowpath.stores.file._qcow2 import Qcow2, read_qcow2
from cowpath.stores.file.config import FileConfig
from cowpath.stores.file.store import FileStore
from cowpath.testing.store_fixtures import IMAGE, OTHER, SIZE
from cowpath.testing.store_lives import pattern
from tests.unit.file_site import EDGE, Site, path_of, run

DATA = pattern(1, SIZE)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def base(site: Site) -> Base:
    site.put(IMAGE, DATA)
    found = site.store.find_base(_image(site))
    assert found is not None
    return found


class TestBases:
    def test_symlink_is_no_image(self, site: Site, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(DATA)
        (site.images / IMAGE).symlink_to(secret)
        assert site.store.find_base(site.image(IMAGE, SIZE, shown=False)) is None
        assert site.store.arrival(site.image(IMAGE, SIZE, shown=False)) is None
        with pytest.raises(UntrustedError):
            site.store.find_base(_image(site))

    def test_image_that_becomes_a_symlink_is_not_cloned(
        self, site: Site, base: Base, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(DATA)
        site.remove(IMAGE)
        (site.images / IMAGE).symlink_to(secret)
        with pytest.raises(NotFoundError):
            site.store.clone(base, disk_name("a"))
        assert not list(site.bases.iterdir())

    @pytest.mark.parametrize("size", [None, SIZE // 2])
    def test_image_that_changes_while_it_is_linked_is_not_cloned(
        self,
        site: Site,
        base: Base,
        monkeypatch: pytest.MonkeyPatch,
        size: int | None,
    ) -> None:
        secret = site.images / "secret"
        secret.write_bytes(DATA)
        link = os.link

        def change_and_link(source: Path, target: Path, **how: bool) -> None:
            source.unlink()
            if size is None:
                source.symlink_to(secret)
            else:
                source.write_bytes(DATA[:size])
            link(source, target, **how)

        monkeypatch.setattr(os, "link", change_and_link)
        with pytest.raises(NotFoundError):
            site.store.clone(base, disk_name("a"))
        assert not list(site.bases.iterdir())
        assert list(site.store.disks()) == []

    def test_encoded_location_of_ours_is_ours(self, site: Site, base: Base) -> None:
        url = "file://" + quote(f"{site.images}/{IMAGE}")
        image = replace(_image(site), locations=(Location(url, EDGE),))
        assert site.store.find_base(image) == base

    def test_base_shares_its_bytes_with_glance(self, site: Site, base: Base) -> None:
        site.store.clone(base, disk_name("a"))
        assert (site.bases / IMAGE).samefile(site.images / IMAGE)

    def test_link_goes_with_its_last_disk(self, site: Site, base: Base) -> None:
        first = site.store.clone(base, disk_name("a"))
        second = site.store.clone(base, disk_name("b"))
        site.store.delete(first.name)
        assert (site.bases / IMAGE).exists()
        site.store.delete(second.name)
        assert not (site.bases / IMAGE).exists()
        assert (site.images / IMAGE).read_bytes() == DATA

    def test_link_stays_where_it_is_the_last_copy(self, site: Site, base: Base) -> None:
        disk = site.store.clone(base, disk_name("a"))
        site.remove(IMAGE)
        moved = site.disks.parent / "moved.qcow2"
        shutil.copy(path_of(disk), moved)
        site.store.delete(disk.name)
        assert (site.bases / IMAGE).read_bytes() == DATA
        check = ["qemu-img", "check", "-f", "qcow2", str(moved)]
        subprocess.run(check, check=True, capture_output=True)

    def test_link_stays_for_a_copy_of_any_name(self, site: Site, base: Base) -> None:
        disk = site.store.clone(base, disk_name("a"))
        shutil.copy(path_of(disk), site.disks / "rescue me.bak")
        site.store.delete(disk.name)
        assert (site.bases / IMAGE).exists()

    def test_link_stays_when_the_folder_has_two_paths(
        self, site: Site, base: Base, tmp_path: Path
    ) -> None:
        disk = site.store.clone(base, disk_name("a"))
        site.remove(IMAGE)
        alias = tmp_path / "alias"
        alias.symlink_to(site.disks)
        config = FileConfig(EDGE, str(site.images), str(alias))
        FileStore(config, SystemClock()).delete(disk_name("another"))
        assert site.read(disk) == DATA

    def test_disks_stay_where_a_file_cannot_be_read(
        self, site: Site, base: Base, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.store.clone(base, disk_name("a"))
        site.store.clone(base, disk_name("b"))
        kept = _named(site, "b")

        def read(path: Path) -> Qcow2 | None:
            if path == kept:
                raise PermissionError(errno.EACCES, "denied", str(path))
            return read_qcow2(path)

        # Root may read everything, so the refusal is pretended.
        monkeypatch.setattr(_folder, "read_qcow2", read)
        with pytest.raises(ForbiddenError, match=rf"disk a: .*{kept}"):
            site.store.delete(disk_name("a"))
        assert _named(site, "a").exists()
        _named(site, "a").unlink()  # by somebody else
        site.store.delete(disk_name("a"))
        assert (site.bases / IMAGE).exists()

    def test_foreign_file_among_the_links_stays(self, site: Site, base: Base) -> None:
        site.store.clone(base, disk_name("a"))
        note = site.bases / "README"
        note.touch()
        site.store.delete(disk_name("a"))
        assert list(site.bases.iterdir()) == [note]

    def test_replaced_image_does_not_change_disks(self, site: Site, base: Base) -> None:
        old = site.store.clone(base, disk_name("a"))
        site.remove(IMAGE)
        site.put(IMAGE, bytes(SIZE))
        assert site.store.find_base(_image(site)) == base
        new = site.store.clone(base, disk_name("b"))
        assert site.read(old) == site.read(new) == DATA

    def test_image_of_another_size_does_not_change_disks(
        self, site: Site, base: Base
    ) -> None:
        old = site.store.clone(base, disk_name("a"))
        site.remove(IMAGE)
        site.put(IMAGE, bytes(2 * SIZE))
        image = site.image(IMAGE, 2 * SIZE)
        other = site.store.find_base(image)
        assert other is not None
        with pytest.raises(ConflictError, match="disks lie on it"):
            site.store.clone(other, disk_name("b"))
        assert site.read(old) == DATA
        site.store.delete(old.name)
        new = site.store.clone(other, disk_name("b"))
        assert site.read(new) == bytes(2 * SIZE)

    def test_qcow2_header_in_a_raw_image_is_just_bytes(self, site: Site) -> None:
        trap = site.images / OTHER
        command = ["create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd"]
        run("qemu-img", *command, "-F", "raw", trap, "1M")
        data = trap.read_bytes().ljust(SIZE, b"\0")
        trap.write_bytes(data)
        base = site.store.find_base(site.image(OTHER, SIZE))
        assert base is not None
        assert base.head.startswith(b"QFI\xfb")
        assert site.read(site.store.clone(base, disk_name("a"))) == data

    def test_odd_image_gets_whole_sectors(self, site: Site) -> None:
        site.put(IMAGE, DATA[:1000])
        base = site.store.find_base(site.image(IMAGE, 1000))
        assert base is not None
        disk = site.store.clone(base, disk_name("a"))
        assert disk.size == 1024
        assert site.read(disk) == DATA[:1000] + bytes(24)


class TestDisks:
    @pytest.mark.parametrize("kind", ["link", "directory", "raw", "empty", "fifo"])
    def test_what_is_no_disk_is_left_alone(
        self, site: Site, base: Base, kind: str
    ) -> None:
        disk = site.store.clone(base, disk_name("a"))
        path = site.disks / "b.qcow2"
        makers: dict[str, Callable[[], object]] = {
            "link": lambda: path.symlink_to(path_of(disk)),
            "directory": path.mkdir,
            "raw": lambda: path.write_bytes(DATA),
            "empty": path.touch,
            "fifo": lambda: os.mkfifo(path),
        }
        makers[kind]()
        assert [disk.name for disk in site.store.disks()] == ["a"]
        calls: list[Callable[[], object]] = [
            lambda: site.store.find_disk(disk_name("b")),
            lambda: site.store.clone(base, disk_name("b")),
            lambda: site.store.delete(disk_name("b")),
        ]
        for call in calls:
            with pytest.raises(ConflictError, match="b"):
                call()
        assert os.path.lexists(path)

    def test_stranger_is_listed_without_a_mark(self, site: Site, base: Base) -> None:
        made = site.disks / "stranger.qcow2"
        site.store.clone(base, disk_name("a"))
        run("qemu-img", "create", "-q", "-f", "qcow2", made, "2M")
        disk = site.store.find_disk(disk_name("stranger"))
        assert disk is not None
        assert (disk.size, disk.image, disk.base) == (2 * SIZE, None, None)
        assert not disk.marked

    def test_mark_is_not_inherited_through_a_reused_inode(
        self, site: Site, base: Base, tmp_path: Path
    ) -> None:
        disk = site.store.clone(base, disk_name("a"))
        path = Path(path_of(disk))
        copy = shutil.copy(path, tmp_path / "copy")
        for _ in range(20):  # until the filesystem gives the same number again
            path.unlink()
            shutil.copy(copy, path)
            found = site.store.find_disk(disk.name)
            assert found is not None
            assert not found.marked

    def test_mark_goes_with_its_disk(self, site: Site, base: Base) -> None:
        marks = site.disks / ".cowpath" / "marks"
        for name in ("a", "b", "c"):
            site.store.clone(base, disk_name(name))
        assert len(list(marks.iterdir())) == 3
        site.store.delete(disk_name("a"))
        _named(site, "b").unlink()  # by somebody else
        site.store.delete(disk_name("c"))
        assert list(marks.iterdir()) == []

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "\xff"])
    def test_spoilt_mark_proves_nothing(
        self, site: Site, base: Base, text: str
    ) -> None:
        disk = site.store.clone(base, disk_name("a"))
        mark = site.disks / ".cowpath" / "marks" / "a.json"
        assert mark.exists()
        mark.write_bytes(text.encode("latin-1"))
        found = site.store.find_disk(disk.name)
        assert found == replace(disk, marked=False)

    def test_discarding_is_touching(self, site: Site, base: Base) -> None:
        disk = site.store.clone(base, disk_name("a"))
        order = "discard 0 65536"
        run("qemu-io", "-d", "unmap", "-f", "qcow2", "-c", order, path_of(disk))
        assert not site.store.untouched(disk)

    def test_internal_snapshot_is_touching(self, site: Site, base: Base) -> None:
        disk = site.store.clone(base, disk_name("a"))
        run("qemu-img", "snapshot", "-c", "s", path_of(disk))
        assert not site.store.untouched(disk)

    def test_chain_passes_qemus_own_check(self, site: Site, base: Base) -> None:
        disk = site.store.grow(site.store.clone(base, disk_name("a")), Bytes(3 * SIZE))
        run("qemu-img", "check", "-f", "qcow2", path_of(disk))
        command = ["info", "--output=json", "--backing-chain", "-f", "qcow2"]
        top, below = json.loads(run("qemu-img", *command, path_of(disk)))
        assert top["virtual-size"] == disk.size
        assert top["backing-filename"] == disk.base == str(site.bases / IMAGE)
        assert top["backing-filename-format"] == below["format"] == "raw"

    def test_looking_starts_no_process(
        self, site: Site, base: Base, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = site.store.clone(base, disk_name("a"))
        monkeypatch.setenv("PATH", "/nonexistent")
        assert list(site.store.disks()) == [disk]
        with pytest.raises(ConfigError, match="qemu-utils"):
            site.store.clone(base, disk_name("b"))
        assert list(site.store.disks()) == [disk]
        assert not list((site.disks / ".cowpath" / "making").iterdir())


def _image(site: Site) -> Image:
    return site.image(IMAGE, SIZE)


def _named(site: Site, name: str) -> Path:
    return site.disks / f"{name}.qcow2"
