"""What the file store says of the directory that Glance writes to."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from cowpath.clock import SystemClock
from cowpath.core.ports import Store
from cowpath.stores import STORES
from cowpath.stores.file.config import FileConfig
from cowpath.testing.store_fixtures import IMAGE, SIZE
from tests.contracts.file_doors import (
    EDGE,
    Child,
    FileDoors,
    become_nobody,
    immutable,
    need_root,
    small_filesystem,
)


@pytest.fixture
def site(tmp_path: Path) -> FileDoors:
    return FileDoors(tmp_path)


class TestIntake:
    def test_room_is_the_filesystems(self, tmp_path: Path) -> None:
        with small_filesystem(tmp_path) as home:
            site = FileDoors(home)
            before = site.store.intake().free
            site.put(IMAGE, bytes(SIZE))
            assert before - site.store.intake().free == SIZE
            assert site.store.intake().ailments == ()

    def test_full_filesystem(self, tmp_path: Path) -> None:
        with small_filesystem(tmp_path) as home:
            site = FileDoors(home)
            site.leave(0)
            intake = site.store.intake()
            assert intake.free == 0
            assert [str(site.images) in said for said in intake.ailments] == [True]
            assert "full" in intake.ailments[0]

    def test_no_inodes(self, tmp_path: Path) -> None:
        with small_filesystem(tmp_path) as home:
            site = FileDoors(home)
            _remount(home, "nr_inodes=4")
            for number in range(2):
                (site.images / str(number)).touch()
            intake = site.store.intake()
            assert intake.free > 0
            assert ["no inodes" in said for said in intake.ailments] == [True]

    def test_read_only_mount(self, tmp_path: Path) -> None:
        with small_filesystem(tmp_path) as home:
            site = FileDoors(home)
            _remount(home, "ro")
            said = site.store.intake().ailments
            assert said == (
                f"{site.images} is on a filesystem that is mounted read-only",
            )

    def test_no_directory(self, site: FileDoors, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.touch()
        for images in (tmp_path / "absent", file / "below"):
            intake = _store(images, site.disks).intake()
            assert intake.free == 0
            assert intake.ailments == (f"there is no directory {images}",)
        said = _store(file, site.disks).intake().ailments
        assert said == (f"{file} is no directory",)

    def test_mode_that_lets_nobody_write(self, site: FileDoors) -> None:
        site.images.chmod(0o555)
        said = site.store.intake().ailments
        assert said == (
            f"{site.images} has mode 0555: nobody but root may write into it",
        )

    def test_directory_that_may_not_be_changed(self, site: FileDoors) -> None:
        with immutable(site.images):
            said = site.store.intake().ailments
        assert ["not even by root" in each for each in said] == [True]
        assert site.store.intake().ailments == ()

    def test_what_only_we_may_not_is_no_ailment(self) -> None:
        need_root()
        with tempfile.TemporaryDirectory() as home:
            Path(home).chmod(0o755)
            site = FileDoors(Path(home))

            def work() -> None:
                become_nobody()
                assert not os.access(site.images, os.W_OK)
                assert site.store.intake().ailments == ()

            with Child(work) as child:
                assert child.code() == 0


def _store(images: Path, disks: Path) -> Store:
    return STORES["file"].make(FileConfig(EDGE, str(images), str(disks)), SystemClock())


def _remount(home: Path, option: str) -> None:
    command = ["mount", "-o", f"remount,{option}", str(home)]
    subprocess.run(command, check=True)
