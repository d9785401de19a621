"""What qemu-img says becomes one of our errors, with its own words kept."""

import subprocess
from pathlib import Path

import pytest

from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    UnavailableError,
    UsageError,
)
from cowpath.core.model import Bytes
from cowpath.stores.file import _qemu_img
from cowpath.stores.file._qemu_img import create_overlay, resize_overlay

_OVERLAY = Path("/srv/disks/a.qcow2")
_LOCK = 2
"""Any open descriptor."""


def _pretend(monkeypatch: pytest.MonkeyPatch, home: Path, script: str) -> None:
    program = home / "qemu-img"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")


# As QEMU 7.2 says it.
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Could not open '/x': Failed to get shared \"write\" lock", ConflictError),
        ("Could not open '/x': Failed to get \"write\" lock", ConflictError),
        ('Failed to get "consistent read" lock', ConflictError),
        ("/x: error while writing: No space left on device", NoSpaceError),
        ("Could not resize: Disk quota exceeded", NoSpaceError),
        ("Could not open '/x': Permission denied", ForbiddenError),
        ("Could not create '/x': Read-only file system", ForbiddenError),
        ("Failed to grow the L1 table: File too large", UsageError),
        ("Image is corrupt; cannot be opened read/write", UnavailableError),
        ("", UnavailableError),
    ],
)
def test_refusals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, error: type[Exception]
) -> None:
    _pretend(monkeypatch, tmp_path, f"cat >&2 <<'END'\nqemu-img: {said}\nEND\nexit 1")
    with pytest.raises(CowpathError) as caught:
        resize_overlay(_OVERLAY, Bytes(512), _LOCK)
    assert type(caught.value) is error
    assert isinstance(caught.value.__cause__, subprocess.CalledProcessError)
    assert said in str(caught.value.__cause__.stderr)
    assert "/srv/disks" in str(caught.value)


def test_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="qemu-utils"):
        resize_overlay(_OVERLAY, Bytes(512), _LOCK)


def test_program_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "qemu-img").write_bytes(b"\x7fELF, not really")
    (tmp_path / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="does not start"):
        resize_overlay(_OVERLAY, Bytes(512), _LOCK)


def test_program_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, tmp_path, "exec tail -f /dev/null")
    monkeypatch.setattr(_qemu_img, "_TIMEOUT_S", 0.05)
    with pytest.raises(UnavailableError, match="did not end"):
        resize_overlay(_OVERLAY, Bytes(512), _LOCK)


def test_formats_are_explicit_and_paths_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    _pretend(monkeypatch, tmp_path, f'echo "$LC_ALL $PWD $*" >> {seen}')
    create_overlay(_OVERLAY, Path("/srv/bases/x"), Bytes(512), _LOCK)
    resize_overlay(_OVERLAY, Bytes(1024), _LOCK)
    assert seen.read_text().splitlines() == [
        "C / create -q -f qcow2 -b /srv/bases/x -F raw /srv/disks/a.qcow2 512",
        "C / resize -q -f qcow2 /srv/disks/a.qcow2 1024",
    ]
