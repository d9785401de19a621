"""The few fields of a qcow2 file that a store reads by itself.

QEMU documents the header (docs/interop/qcow2.txt) and updates it in place while a
guest runs. Reading it costs one system call; `qemu-img info` costs a process for each
disk, and a folder holds hundreds.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

_MAGIC = b"QFI\xfb"
# magic, version, backing offset and length, cluster bits, size, encryption,
# L1 entries and offset, refcount table offset and clusters, internal snapshots
_HEADER = struct.Struct(">4sIQIIQIIQQII")
_VERSIONS = (2, 3)
_LONGEST_BACKING = 1023
"""Bytes; the format's own limit."""
_LARGEST_L1 = 32 * 1024**2 // 8
"""Entries; QEMU's own limit."""


@dataclass(frozen=True, slots=True)
class Qcow2:
    """A qcow2 file's header.

    Attributes:
        size: Bytes that the guest sees.
        backing: The file below it; None if it stands alone.
        status: The file's own status at the moment of reading.
        is_blank: True if no guest cluster was ever allocated or zeroed in it:
            meaningful while nobody has it open, for QEMU writes late.
    """

    size: int
    backing: str | None
    status: os.stat_result
    is_blank: bool


def read_qcow2(path: Path) -> Qcow2 | None:
    """Return the header of `path`; None if it is no regular qcow2 file.

    Raises:
        FileNotFoundError: There is nothing of that name.
        OSError: It cannot be read.
    """
    if not S_ISREG(path.lstat().st_mode):
        return None
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        return _read(fd, status) if S_ISREG(status.st_mode) else None
    finally:
        os.close(fd)


def _read(fd: int, status: os.stat_result) -> Qcow2 | None:
    raw = os.pread(fd, _HEADER.size, 0)
    if len(raw) < _HEADER.size:
        return None
    fields = _HEADER.unpack(raw)
    magic, version, backing_at, backing_length, _, size, _ = fields[:7]
    if magic != _MAGIC or version not in _VERSIONS:
        return None
    entries, table_at, _, _, snapshots = fields[7:]
    backing = None
    if backing_at and backing_length <= _LONGEST_BACKING:
        backing = os.pread(fd, backing_length, backing_at).decode(errors="replace")
    is_blank = not snapshots and _is_zero(fd, table_at, entries)
    return Qcow2(size=size, backing=backing, status=status, is_blank=is_blank)


def _is_zero(fd: int, table_at: int, entries: int) -> bool:
    """Tell whether the L1 table is empty: no L2 table was ever needed."""
    if entries > _LARGEST_L1:
        return False
    return not any(os.pread(fd, entries * 8, table_at))
