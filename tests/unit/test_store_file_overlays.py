"""What lies on a disk needs it, whether a guest runs on it or not."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cowpath.core.errors import BusyError, ConflictError
from cowpath.core.model import Base, Bytes, Disk, disk_name
from cowpath.testing.store_fixtures import IMAGE, SIZE
from cowpath.testing.store_lives import pattern
from tests.unit.file_site import Site, path_of, run


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def base(site: Site) -> Base:
    site.put(IMAGE, pattern(1, SIZE))
    found = site.store.find_base(site.image(IMAGE, SIZE))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "backing",
    [
        "a.qcow2",
        "./a.qcow2",
        "{disks}/a.qcow2",
        "{disks}/bases/../a.qcow2",
        "{alias}/a.qcow2",
        "{alias}/other-name.qcow2",
        "file:{disks}/a.qcow2",
        'json:{{"file":{{"driver":"file","filename":"{disks}/a.qcow2"}}}}',
        "/not/there/a.qcow2",
    ],
)
def test_overlay_in_the_folder_keeps_its_disk(
    site: Site, base: Base, tmp_path: Path, backing: str
) -> None:
    disk = site.store.clone(base, disk_name("a"))
    alias = tmp_path / "alias"
    alias.mkdir()
    for name in ("a", "other-name"):
        (alias / f"{name}.qcow2").hardlink_to(path_of(disk))
    text = backing.format(disks=site.disks, alias=alias)
    snapshot = site.disks / "a.snap1"
    _overlay(snapshot, text)
    assert not site.store.untouched(disk)
    words = f"{snapshot} lies on it.*virsh blockcommit"
    with pytest.raises(ConflictError, match=f"cannot delete disk a: {words}"):
        site.store.delete(disk.name)
    with pytest.raises(ConflictError, match=f"cannot grow disk a: {words}"):
        site.store.grow(disk, Bytes(2 * SIZE))
    assert site.store.find_disk(disk.name) == disk
    snapshot.unlink()
    assert site.store.untouched(disk)
    site.store.delete(disk.name)


@pytest.mark.parametrize("name", ["banana", "a.a", "a-a", "a.qcow2", "A", "a_a", "xa"])
def test_overlay_on_a_disk_of_a_similar_name_does_not(
    site: Site, base: Base, name: str
) -> None:
    disk = site.store.clone(base, disk_name("a"))
    site.store.clone(base, disk_name(name))
    _overlay(site.disks / "snapshot.qcow2", f"{site.disks}/{name}.qcow2")
    assert site.store.untouched(disk)
    site.store.grow(disk, Bytes(2 * SIZE))
    site.store.delete(disk.name)
    with pytest.raises(ConflictError, match=r"snapshot\.qcow2"):
        site.store.delete(disk_name(name))


@pytest.mark.parametrize("options", [[], ["-r"]])
def test_open_overlay_elsewhere_keeps_its_disk(
    site: Site, base: Base, tmp_path: Path, options: list[str]
) -> None:
    disk = site.store.clone(base, disk_name("a"))
    overlay = tmp_path / "elsewhere.qcow2"
    _overlay(overlay, path_of(disk))
    with _open_in_qemu(*options, overlay):
        _check_in_use(site, disk)
    assert site.store.untouched(disk)
    site.store.delete(disk.name)


def test_reader_keeps_its_disk(site: Site, base: Base) -> None:
    disk = site.store.clone(base, disk_name("a"))
    with _open_in_qemu("-r", path_of(disk)):
        _check_in_use(site, disk)
    run("qemu-io", "-f", "qcow2", "-c", "write 0 512", path_of(disk))
    with _open_in_qemu("-r", path_of(disk)):
        assert not site.store.untouched(disk)


def test_writer_keeps_its_disk(site: Site, base: Base) -> None:
    disk = site.store.clone(base, disk_name("a"))
    with _open_in_qemu(path_of(disk)):
        assert not site.store.untouched(disk)
        with pytest.raises(ConflictError, match=r"a\.qcow2 is in use"):
            site.store.delete(disk.name)


def test_reader_that_shares_everything_does_not(site: Site, base: Base) -> None:
    disk = site.store.clone(base, disk_name("a"))
    with _open_in_qemu("-r", "-U", path_of(disk)):
        assert site.store.untouched(disk)
        site.store.delete(disk.name)


def test_no_qemu_gets_a_disk_that_is_being_deleted(
    site: Site, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = site.store.clone(base, disk_name("a"))
    unlink, said = Path.unlink, list[str]()

    def open_and_unlink(path: Path, **how: bool) -> None:
        if str(path) == path_of(disk):
            command = ["qemu-io", "-f", "qcow2", "-c", "length", str(path)]
            opened = subprocess.run(
                command, check=False, capture_output=True, text=True
            )
            said.append(opened.stdout + opened.stderr)
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", open_and_unlink)
    site.store.delete(disk.name)
    assert len(said) == 1
    assert "Failed to get" in said[0]


def _overlay(path: Path, backing: str) -> None:
    command = ["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2"]
    run("qemu-img", *command, path, "1M")


@contextmanager
def _open_in_qemu(*words: str | Path) -> Iterator[None]:
    pipe = subprocess.PIPE
    command = ["qemu-io", "-f", "qcow2", *words]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as guest:
        assert guest.stdin
        assert guest.stdout
        guest.stdin.write("length\n")
        guest.stdin.flush()
        assert "MiB" in guest.stdout.readline()
        yield
        guest.stdin.close()


def _check_in_use(site: Site, disk: Disk) -> None:
    """Nothing is done to it, and it may be free later."""
    with pytest.raises(BusyError, match="disk a"):
        site.store.untouched(disk)
    with pytest.raises(ConflictError, match=r"cannot delete disk a: .* is in use"):
        site.store.delete(disk.name)
    with pytest.raises(ConflictError, match="in use"):
        site.store.grow(disk, Bytes(2 * SIZE))
    assert site.store.find_disk(disk.name) == disk
