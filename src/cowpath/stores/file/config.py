"""What a file store must be told."""

from dataclasses import dataclass, fields
from pathlib import PurePosixPath

from cowpath.core.errors import ConfigError
from cowpath.core.model import StoreName


@dataclass(frozen=True, slots=True)
class FileConfig:
    """Where a site's files are.

    Attributes:
        store: The Glance store that this is.
        images_dir: Its directory (Glance's `filesystem_store_datadir`).
        disks_dir: Ours, on the same filesystem: disks share an image's bytes with
            Glance through hard links.
    """

    store: StoreName
    images_dir: str
    disks_dir: str

    def __post_init__(self) -> None:
        """Check the directories.

        Raises:
            ConfigError: A directory is not absolute, or both are the same.
        """
        for field in fields(self)[1:]:
            path: str = getattr(self, field.name)
            if not _is_plain(path):
                # An absolute path is also what keeps QEMU from taking the text
                # before a ':' for a protocol, and '-' for an option.
                raise ConfigError(
                    f"{field.name} is {path!r}: give an absolute path without '..'"
                )
        if PurePosixPath(self.images_dir) == PurePosixPath(self.disks_dir):
            raise ConfigError(
                f"images_dir and disks_dir are both {self.images_dir}: Glance's files "
                f"and ours need a directory each"
            )


@dataclass(frozen=True, slots=True)
class FileImageConfig:
    """Where a Glance store of files is that images are copied from or to.

    Attributes:
        store: The Glance store that this is.
        images_dir: Its directory (Glance's `filesystem_store_datadir`).
        mode: The permissions of a copy (Glance's `filesystem_store_file_perm`, an
            octal number there); 0: what the process's umask leaves, as in Glance.
    """

    store: StoreName
    images_dir: str
    mode: int = 0

    def folder(self) -> FileConfig:
        """Return where things are; leftovers are kept below Glance's own directory.

        Raises:
            ConfigError: The directory is not absolute.
        """
        ours = PurePosixPath(self.images_dir, ".cowpath")
        return FileConfig(self.store, self.images_dir, str(ours))


def _is_plain(path: str) -> bool:
    return path.startswith("/") and "\0" not in path and ".." not in path.split("/")
