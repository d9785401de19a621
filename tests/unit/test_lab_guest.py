import struct
import uuid

import pytest

from lab import guest, guest_boot
from lab.errors import LabError

NAME = "0f7a6a4e-30a5-4f0c-8f0e-5b2b4a9c1d11"


def test_a_guest_gets_a_uuid_of_its_own() -> None:
    one, other = guest.wanted(), guest.wanted()
    assert uuid.UUID(one.name) != uuid.UUID(other.name)


def test_a_guest_s_name_has_to_be_a_uuid() -> None:
    with pytest.raises(LabError, match="'web-1'"):
        guest.wanted("web-1")


@pytest.mark.parametrize(
    ("data_mib", "total_mib", "size_mib"), [(8, 0, 33), (0, 0, 25), (8, 1024, 1024)]
)
def test_a_guest_is_as_large_as_it_needs_or_larger(
    data_mib: int, total_mib: int, size_mib: int
) -> None:
    wish = guest.wanted(data_mib=data_mib, total_mib=total_mib)
    assert wish.size_mib == size_mib


@pytest.mark.parametrize(("data_mib", "total_mib"), [(8, 32), (-1, 0), (8, -1)])
def test_a_size_that_cannot_be_is_refused(data_mib: int, total_mib: int) -> None:
    with pytest.raises(LabError, match="MiB"):
        _ = guest.wanted(data_mib=data_mib, total_mib=total_mib).size_mib


def test_sector_one_tells_the_guest_who_it_is() -> None:
    sector = guest.sector_one(guest.wanted(NAME, stay=True, data_mib=2))
    assert len(sector) == 512
    assert sector.rstrip(b"\0").decode() == f"COWPATH {NAME} stay 25 2\n"


def test_the_partition_table_fills_the_mbr_to_its_end() -> None:
    table = guest_boot.partition_table()
    assert len(table) == 512 - 446
    assert table.endswith(b"\x55\xaa")
    assert struct.unpack_from("<II", table, 8) == (2048, 24 * 2048)


def test_a_cpio_archive_is_aligned_and_ends_with_its_trailer() -> None:
    archive = guest_boot.cpio([("bin", 0o40755, b""), ("bin/a", 0o100755, b"12345")])
    assert len(archive) % 4 == 0
    assert archive.startswith(b"070701")
    at = archive.index(b"bin/a\0")
    size = int(archive[at - 110 + 54 : at - 110 + 62], 16)
    assert size == len(b"12345")
    assert b"TRAILER!!!\0" in archive
