import struct
from pathlib import Path

import pytest

from lab import packages
from lab.errors import LabError
from lab.packages import Need

THERE = Need("there", "there", lambda: True)
GONE = Need("qemu-img", "qemu-utils", lambda: False)
NO_LISTS = Need("a kernel to download", "", lambda: False)


def elf(*kinds: int) -> bytes:
    header = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14)
    header += struct.pack("<HH", 56, len(kinds)) + bytes(6)
    return header + b"".join(struct.pack("<I", kind) + bytes(52) for kind in kinds)


def test_only_what_is_missing_is_installed_and_once() -> None:
    absent = packages.missing([THERE, GONE, GONE])
    assert packages.apt_lines(absent) == [
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "qemu-utils"],
    ]


def test_missing_package_lists_need_an_update_only() -> None:
    assert packages.apt_lines([NO_LISTS]) == [["apt-get", "update"]]


def test_the_description_names_each_thing_and_the_whole_line() -> None:
    text = packages.describe([GONE])
    assert "qemu-img" in text
    assert (
        "sudo apt-get update && "
        "sudo apt-get install -y --no-install-recommends qemu-utils" in text
    )


def test_nobody_but_root_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "locate", lambda _program: "/usr/bin/apt-get")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"Only root .*\n.*qemu-img"):
        packages.install([GONE])


def test_elsewhere_than_on_debian_the_list_is_still_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "locate", lambda _program: None)
    with pytest.raises(LabError, match="qemu-img"):
        packages.install([GONE])


def test_every_need_of_the_files_lab_has_a_name_and_most_a_package() -> None:
    needs = packages.NEEDS["files"]
    assert all(need.what for need in needs)
    assert [need.what for need in needs if not need.package] == ["a kernel to download"]


@pytest.mark.parametrize(
    ("content", "static"),
    [
        (elf(1, 1, 4), True),
        (elf(1, 3, 1), False),
        (b"#!/bin/sh\n", False),
        (b"\x7fELF\x01" + bytes(60), False),
        (b"", False),
    ],
)
def test_a_busybox_with_an_interpreter_is_not_static(
    tmp_path: Path, content: bytes, *, static: bool
) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(content)
    assert packages.is_static(program) is static


def test_a_busybox_that_is_not_there_is_not_static(tmp_path: Path) -> None:
    assert not packages.is_static(tmp_path / "busybox")
