"""What a broken copy left among Glance's files, and moving it out of Glance's way."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from cowpath.core.errors import ConfigError, ConflictError, NotFoundError
from cowpath.core.model import Bytes, ImageId, Leftover
from cowpath.core.ports import Clock
from cowpath.stores.file._folder import Folder
from cowpath.stores.file._lease import check_closed
from cowpath.stores.file._rename import rename_to_free


@dataclass(frozen=True, slots=True)
class Found:
    """A leftover that nobody needed when it was looked at.

    Attributes:
        fd: Has it open: as long as it does, its inode number is nobody else's, and
            other Cowpaths that want to move it see that somebody is at it.
    """

    leftover: Leftover
    path: Path
    fd: int


class Leftovers:
    """What lies in Glance's directory of a folder, by its image's id."""

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def find(self, image: ImageId) -> Leftover | None:
        """Return what lies where Glance would write `image`, whatever it is."""
        path = self._folder.glance_file(image)
        status = _status(path)
        if status is None:
            return None
        size = status.st_size if S_ISREG(status.st_mode) else 0
        cure = _move(path, self._folder.free_aside(image))
        return Leftover(image, where=str(path), present=Bytes(size), cure=cure)

    @contextmanager
    def found(self, leftover: Leftover) -> Iterator[Found]:
        """Have the file of a leftover that may be moved open; enter under the lock.

        Raises:
            ConflictError: Somebody needs it or has it open, or another of the same
                image is kept already.
            NotFoundError: It is gone, or has changed.
            ForbiddenError: It cannot be told whether somebody has it open.
        """
        path = self._folder.glance_file(leftover.image)
        if leftover.where != str(path):
            raise NotFoundError(
                f"{leftover.where} is not where this site's store has image "
                f"{leftover.image} ({path}), and is left alone: ask the site whose it "
                f"is"
            )
        with _opened(path) as fd:
            found = Found(leftover, path, fd)
            self._check(found)
            yield found

    def move(self, found: Found) -> str:
        """Move it to our own directory; return how to restore it. Under the lock.

        Everything is looked at again: somebody may have come since.

        Raises:
            ConflictError: As `found` does; or another file is there now.
            NotFoundError: As `found` does.
            ForbiddenError: As `found` does.
        """
        self._check(found)
        target = self._folder.free_aside(found.leftover.image)
        _rename(found.path, target)
        restore = _move(target, found.path)
        return f"kept as {target}, nothing was removed; to restore it: {restore}"

    def _check(self, found: Found) -> None:
        """Accept what was found if it is still there and nobody needs it."""
        leftover, path = found.leftover, found.path
        look = f"look again (cowpath image show {leftover.image})"
        status = _status(path)
        if status is None:
            raise _gone(path)
        if not os.path.samestat(status, os.fstat(found.fd)):
            raise ConflictError(
                f"another file has just taken the place of {path}, and is left alone: "
                f"see who writes there, then {look}"
            )
        self._check_alone(leftover.image, path)
        self._check_unneeded(leftover.image, path, status.st_nlink)
        check_closed(found.fd, path, leftover.cure, self._clock)
        if status.st_size != leftover.present:
            raise NotFoundError(
                f"{path} has {status.st_size} bytes now, not {leftover.present}, so it "
                f"is not the leftover that was seen, and is left alone: {look}"
            )

    def _check_alone(self, image: ImageId, path: Path) -> None:
        """Accept a leftover of an image of which none is kept yet."""
        for kept in self._folder.aside(image):
            remove = shlex.join(["rm", str(kept)])
            raise ConflictError(
                f"{path} is left alone, for what an earlier copy left of image {image} "
                f"is still kept as {kept}, and more of them would fill the store: see "
                f"why its copies break (Glance's log), then remove that one ({remove}) "
                f"and try again; or restore it, once {path} was moved away: "
                f"{_move(kept, path)}"
            )

    def _check_unneeded(self, image: ImageId, path: Path, links: int) -> None:
        overlay = self._folder.overlay_on_image(image)
        if overlay:
            raise ConflictError(
                f"{path} is left alone: {overlay} lies on it and needs its bytes: "
                f"delete that disk and what others image {image} has (cowpath disk "
                f"list), then try again"
            )
        if links > 1:
            raise ConflictError(
                f"{path} is left alone: {links - 1} other hard links share it, so "
                f"somebody else may need it: find them (find DIRECTORY -samefile "
                f"{shlex.quote(str(path))}), then remove them or {path} by hand"
            )


def _rename(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        rename_to_free(path, target)
    except FileNotFoundError as error:
        raise _gone(path) from error
    except FileExistsError as error:
        raise ConflictError(
            f"{path} is left alone: somebody has just made {target}: see who moves "
            f"files there, then try again"
        ) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise ConfigError(
            f"{path} stays where it is: {target.parent} is on another filesystem, and "
            f"it is never copied: set disks_dir to a directory on the filesystem of "
            f"images_dir (a bind mount counts as another one)"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    status = _status(path)
    if status is None:
        raise _gone(path)
    # Looked at first: to open a device may do something.
    if not S_ISREG(status.st_mode):
        raise ConflictError(
            f"{path} is no regular file, so no leftover of Glance's, and is left "
            f"alone: look what it is (ls -ld {shlex.quote(str(path))}), and move it "
            f"away by hand"
        )
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _gone(path: Path) -> NotFoundError:
    return NotFoundError(
        f"{path} is gone, so there is nothing to set aside: have the image copied again"
    )


def _move(source: Path, target: Path) -> str:
    """Return the commands that move a file, never onto another."""
    make = shlex.join(["mkdir", "-p", str(target.parent)])
    return f"{make} && {shlex.join(['mv', '-n', str(source), str(target)])}"
