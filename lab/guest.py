"""Guest images that prove their own bytes.

A guest boots without a network or an installation, says who it is and what the
checksum of its data is on the serial console, and powers off.
"""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError
from lab.files import read, write
from lab.guest_boot import MIB, SIZE_MIB, boot_part
from lab.layout import Layout
from lab.programs import need, run

MARKER = "GUEST-BOOT-OK"

_SECTOR_BYTES = 512
_STANDARD_DATA_MIB = 8


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest image.

    Attributes:
        path: The raw file.
        uuid: What it will call itself.
        size_bytes: Its size.
        data_md5: What it will say of its data; empty where it has none.
        mode: `off`, it powers off; or `stay`, it keeps reading and writing.
    """

    path: str
    uuid: str
    size_bytes: int
    data_md5: str
    mode: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a guest is to be.

    Attributes:
        name: The UUID it will call itself.
        stay: Whether it stays up.
        data_mib: How much random data it holds.
        total_mib: Its size; 0 for what it needs.
    """

    name: str
    stay: bool = False
    data_mib: int = _STANDARD_DATA_MIB
    total_mib: int = 0

    @property
    def mode(self) -> str:
        """The mode in the guest's own words."""
        return "stay" if self.stay else "off"

    @property
    def size_mib(self) -> int:
        """How large the disk has to be.

        Raises:
            LabError: The size that was asked for is too small, or negative.
        """
        least = SIZE_MIB + self.data_mib
        if self.data_mib < 0 or 0 < self.total_mib < least or self.total_mib < 0:
            message = (
                f"A guest with {self.data_mib} MiB of data needs {least} MiB in all: "
                "give a larger --total-mib, or leave it out."
            )
            raise LabError(message)
        return self.total_mib or least


def wanted(
    name: str | None = None,
    *,
    stay: bool = False,
    data_mib: int = _STANDARD_DATA_MIB,
    total_mib: int = 0,
) -> Wanted:
    """Return a wish for a guest, with a new UUID where none is given.

    Raises:
        LabError: The name is no UUID.
    """
    try:
        name = str(uuid.UUID(name) if name else uuid.uuid4())
    except ValueError as error:
        message = f"A guest's --uuid has to be a UUID, not {name!r}."
        raise LabError(message) from error
    return Wanted(name, stay, data_mib, total_mib)


def sector_one(wish: Wanted) -> bytes:
    """Return the sector from which a guest learns who it is."""
    text = f"COWPATH {wish.name} {wish.mode} {SIZE_MIB} {wish.data_mib}\n"
    return text.encode().ljust(_SECTOR_BYTES, b"\0")


def make(cache: Path, out: Path, wish: Wanted) -> Guest:
    """Make a guest image.

    Args:
        cache: The lab's cache, for what all guests share.
        out: The raw file to make; a file of that name is replaced.
        wish: What it is to be.

    Returns:
        What was made.
    """
    size_bytes = wish.size_mib * MIB
    boot = boot_part(cache)
    digest = hashlib.md5(usedforsecurity=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        half_made = Path(scratch) / "guest.raw"
        shutil.copyfile(boot, half_made)
        with half_made.open("r+b") as disk:
            disk.seek(_SECTOR_BYTES)
            disk.write(sector_one(wish))
            disk.seek(SIZE_MIB * MIB)
            for _ in range(wish.data_mib):
                data = os.urandom(MIB)
                digest.update(data)
                disk.write(data)
            disk.truncate(size_bytes)
        half_made.replace(out)
    md5 = digest.hexdigest() if wish.data_mib else ""
    return Guest(str(out.resolve()), wish.name, size_bytes, md5, wish.mode)


class StandardGuest:
    """The guest that every lab has, as raw and as qcow2."""

    def __init__(self, layout: Layout, *, stay: bool = False) -> None:
        """Know where it lies; nothing is made yet.

        Args:
            layout: Where the lab lies.
            stay: Whether it stays up.
        """
        name = "guest-stay" if stay else "guest"
        self._cache = layout.cache
        self._stay = stay
        self._record = layout.guest / f"{name}.json"
        self.raw = layout.guest / f"{name}.raw"
        self.qcow2 = layout.guest / f"{name}.qcow2"

    def known(self) -> Guest | None:
        """Return what was made, or None where it is missing or half made."""
        text = read(self._record)
        if text and self.raw.exists() and self.qcow2.exists():
            return Guest(**json.loads(text))
        return None

    def ensure(self) -> None:
        """Make it where it is missing."""
        if self.known():
            return
        guest = make(self._cache, self.raw, wanted(stay=self._stay))
        half_made = self.qcow2.with_suffix(".new")
        formats = ["-f", "raw", "-O", "qcow2"]
        run([need("qemu-img"), "convert", *formats, str(self.raw), str(half_made)])
        half_made.replace(self.qcow2)
        write(self._record, json.dumps(asdict(guest)))

    def describe(self) -> dict[str, object]:
        """Return what lab.json says of it.

        Raises:
            LabError: It is not there.
        """
        guest = self.known()
        if guest is None:
            raise LabError("The standard guest vanished while the lab came up.")
        return {
            "raw": guest.path,
            "qcow2": str(self.qcow2),
            "uuid": guest.uuid,
            "data_md5": guest.data_md5,
            "size_bytes": guest.size_bytes,
            "marker": MARKER,
        }
