"""Which file is where: the two directories of a site, and what lies in them.

<images_dir>/<image id>          Glance's; grows while Glance copies
<images_dir>/.cowpath-copy-<id>  a copy of ours in the making
<disks_dir>/<name>.qcow2         a disk
<disks_dir>/bases/<image id>     hard link to Glance's file: what disks lie on
<disks_dir>/leftovers/           what broken copies left of images, set aside
<disks_dir>/.cowpath/marks/      our mark on each disk
<disks_dir>/.cowpath/making/     disks that are not whole yet
<disks_dir>/.cowpath/lock        held by whoever changes anything here
"""

import itertools
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import unquote

from cowpath.core.errors import ConfigError, UsageError
from cowpath.core.model import (
    SECTOR,
    Bytes,
    DiskName,
    ImageId,
    Location,
    disk_name,
    image_id,
    is_image_id,
)
from cowpath.stores.file._qcow2 import read_qcow2
from cowpath.stores.file.config import FileConfig

_SUFFIX = ".qcow2"


class Folder:
    """Paths, and what they show. Changes nothing but by `prepare` and `sweep`."""

    def __init__(self, config: FileConfig) -> None:
        # normpath, not resolve: Glance writes the configured path into locations.
        self.images = Path(os.path.normpath(config.images_dir))
        self.disks = Path(os.path.normpath(config.disks_dir))
        self.bases = self.disks / "bases"
        self._aside = self.disks / "leftovers"
        self._ours = self.disks / ".cowpath"
        self.marks = self._ours / "marks"
        self._making = self._ours / "making"
        self.lock = self._ours / "lock"

    def prepare(self) -> None:
        """Make what is missing of our directories; the parent must be there."""
        if self._making.is_dir() and self.bases.is_dir():
            return
        for path in (self.disks, self.bases, self._ours, self.marks, self._making):
            path.mkdir(exist_ok=True)

    def glance_file(self, image: ImageId) -> Path:
        """Return where Glance has `image`."""
        return self.images / image_id(image)

    def draft(self, image: ImageId) -> Path:
        """Return where a copy of `image` is until it is whole."""
        return self.images / f".cowpath-copy-{image_id(image)}"

    def location_of(self, image: ImageId, location: Location) -> Path | None:
        """Return the path of a location that is exactly where Glance puts `image`.

        Compared, not parsed: a host, a query, '..' and another image's id all
        differ. Glance does not percent-encode its paths; others may show them so.
        """
        path = self.glance_file(image)
        scheme, _, shown = location.url.partition("://")
        if scheme != "file" or str(path) not in (shown, unquote(shown)):
            return None
        return None if path.is_symlink() else path

    def base(self, image: ImageId) -> Path:
        """Return where the disks of `image` find its bytes."""
        return self.bases / image_id(image)

    def disk(self, name: DiskName) -> Path:
        """Return where the disk `name` is."""
        return self.disks / f"{disk_name(name)}{_SUFFIX}"

    def fresh(self) -> Path:
        """Return a name for a disk in the making."""
        return self._making / f"{uuid.uuid4()}{_SUFFIX}"

    def free_aside(self, image: ImageId) -> Path:
        """Return a name that no leftover of `image` has that was set aside."""
        names = (self._aside / f"{image_id(image)}.{n}" for n in itertools.count(1))
        return next(name for name in names if not os.path.lexists(name))

    def aside(self, image: ImageId) -> list[Path]:
        """Return the leftovers of `image` that were set aside.

        Raises:
            ConfigError: What should be our directory of them is none, or a link.
        """
        try:
            is_ours = S_ISDIR(self._aside.lstat().st_mode)
        except FileNotFoundError:
            return []
        if not is_ours:
            # Through a link they would land in a place that nobody told us of.
            raise ConfigError(
                f"{self._aside} is no directory, or a symbolic link: leftovers of "
                f"images are kept there, so move it away; a directory is made anew"
            )
        prefix = f"{image_id(image)}."
        return sorted(
            path for path in self._aside.iterdir() if path.name.startswith(prefix)
        )

    def image_of(self, backing: str | None) -> ImageId | None:
        """Return the image whose base, ours or Glance's, `backing` is."""
        if backing is None or Path(backing).parent not in (self.bases, self.images):
            return None
        try:
            return image_id(Path(backing).name)
        except UsageError:
            return None

    def source(self, image: ImageId, size: Bytes) -> Path | None:
        """Return a whole file of `image`: our link, else Glance's; None without one.

        Ours first: disks lie on it, whatever became of Glance's.
        """
        for path in (self.base(image), self.glance_file(image)):
            if file_size(path) == size:
                return path
        return None

    def names(self, prefix: str = "") -> Iterator[DiskName]:
        """Yield in order the names that files of ours or of others have."""
        if not self.disks.is_dir():
            return
        stems = (
            entry.name.removesuffix(_SUFFIX)
            for entry in self.disks.iterdir()
            if entry.name.endswith(_SUFFIX) and entry.name.startswith(prefix)
        )
        for stem in sorted(stems):
            try:
                yield disk_name(stem)
            except UsageError:
                continue  # no disk can have that name

    def sweep(self) -> None:
        """Remove what dead makers left. Only under the lock: then none is alive."""
        for path in self._making.iterdir():
            path.unlink()

    def idle_bases(self) -> Iterator[Path]:
        """Yield the bases that nothing in the folder lies on.

        In doubt a base is in use: a file of any name counts, disk or not, it may be
        somebody's copy of one; one that we may not read may lie on any base; and a
        backing that names the image counts however it is written, for the folder may
        be known under another path too.
        """
        try:
            used = " ".join(backing for _, backing in self._backings())
        except PermissionError:
            return
        for path in self.bases.iterdir():
            if is_image_id(path.name) and path.name not in used:
                yield path

    def overlay_on(self, disk: Path) -> Path | None:
        """Return a file in the folder that lies on `disk`; None if there is none.

        Such as an external snapshot of libvirt. In doubt it does lie on it: its name
        in a backing counts in whatever spelling and directory.

        Raises:
            PermissionError: We may not read a file here, and it may lie on any disk.
        """
        # Other characters, or none, before and after it: not a part of a name.
        named = re.compile(rf"(?<![\w.-]){re.escape(disk.name)}(?![\w.-])")
        for path, backing in self._backings():
            if path == disk:
                continue
            if named.search(backing) or _is_same(self.disks / backing, disk):
                return path
        return None

    def overlay_on_image(self, image: ImageId) -> Path | None:
        """Return a file in the folder that lies on Glance's `image`; None without one.

        In doubt it does: a backing that names the image counts in whatever spelling,
        unless it is our own link, which keeps its bytes whatever becomes of Glance's.

        Raises:
            PermissionError: We may not read a file here, and it may lie on any image.
        """
        link, file = self.base(image), self.glance_file(image)
        for path, backing in self._backings():
            below = self.disks / backing
            named = image in backing and not _is_same(below, link)
            if named or _is_same(below, file):
                return path
        return None

    def _backings(self) -> Iterator[tuple[Path, str]]:
        """Yield the files that lie on another, and what they say it is."""
        for path in self.disks.iterdir():
            try:
                header = read_qcow2(path)
            except FileNotFoundError:
                continue  # somebody removed it meanwhile
            if header and header.backing:
                yield path, header.backing


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False  # no path at all, or it leads nowhere


def file_size(path: Path) -> Bytes | None:
    """Return the size of a regular file in bytes; None if there is no such."""
    status = _regular(path)
    return None if status is None else Bytes(status.st_size)


def allocated(path: Path) -> Bytes | None:
    """Return the bytes that a regular file takes; None if there is no such."""
    status = _regular(path)
    return None if status is None else bytes_taken(status)


def bytes_taken(status: os.stat_result) -> Bytes:
    """Return how many bytes of a file are not holes."""
    return Bytes(min(status.st_size, status.st_blocks * SECTOR))


def _regular(path: Path) -> os.stat_result | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if S_ISREG(status.st_mode) else None
