"""A Glance store of files as a copy's source and target."""

import errno
import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from stat import S_ISREG

from cowpath.core.errors import ConflictError, ForbiddenError, NotFoundError
from cowpath.core.model import Image, ImageId, Location
from cowpath.core.ports import Clock
from cowpath.core.rules import choose_location
from cowpath.core.transfer import Draft, Original, Terms
from cowpath.stores.file._draft import READ_WRITE, CopyMarks, FileDraft, open_alone
from cowpath.stores.file._failures import no_space, translated
from cowpath.stores.file._folder import Folder
from cowpath.stores.file._lease import check_closed
from cowpath.stores.file._leftovers import Leftovers
from cowpath.stores.file._original import FileOriginal
from cowpath.stores.file._rename import rename_to_free
from cowpath.stores.file.config import FileImageConfig

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileImageStore:
    """Implements `core.transfer.ImageStore` in Glance's own directory.

    A draft is `.cowpath-copy-<image id>` there, locked (flock) by whoever writes it.
    It becomes the image by one rename, which never replaces anything.
    """

    def __init__(self, config: FileImageConfig, clock: Clock) -> None:
        self._store = config.store
        self._mode = config.mode
        self._folder = Folder(config.folder())
        self._leftovers = Leftovers(self._folder, clock)
        self._marks = CopyMarks()
        self._clock = clock

    @contextmanager
    def original(self, image: Image, terms: Terms) -> Iterator[Original]:
        """Open the image that this store has."""
        choose_location(image, self._store, partial(self._folder.location_of, image.id))
        path = self._folder.glance_file(image.id)
        with self._translated(f"cannot read image {image.id}"):
            fd = _open_whole(path, image)
        try:
            yield FileOriginal(fd, path, terms)
        finally:
            os.close(fd)

    @contextmanager
    def draft(self, image: Image, terms: Terms) -> Iterator[Draft]:
        """Begin a copy, or go on with an interrupted one."""
        doing = f"cannot copy image {image.id} to store {self._store}"
        with ExitStack() as leaving:
            with self._translated(doing):
                self._check_wanted(image, doing)
                fd, resumed = self._begun(image, leaving)
            yield FileDraft(
                fd,
                self._folder.draft(image.id),
                terms,
                resumed=resumed,
                publishing=partial(self._publish, image),
            )

    def listed(self, image: Image) -> None:
        """Take our mark off the copy that we published."""
        doing = f"cannot take our mark off image {image.id}"
        path = self._folder.glance_file(image.id)
        with self._translated(doing), suppress(FileNotFoundError):
            fd = os.open(path, _READ)
            try:
                self._marks.drop(fd, image.id)
            finally:
                os.close(fd)

    def withdraw(self, image: Image) -> None:
        """Remove the copy that we published, because Glance does not take it."""
        doing = f"cannot take the copy of image {image.id} back"
        self._check_unlisted(image, doing)
        with self._translated(doing), ExitStack() as leaving:
            fd = self._alone(image, leaving)
            again = self._taken_back(image, leaving)
            if again is None and os.path.lexists(self._folder.glance_file(image.id)):
                _drop_empty(fd, self._folder.draft(image.id))
                raise ConflictError(
                    f"{doing}: {self._folder.glance_file(image.id)} is not our copy, "
                    f"and is left alone: see who made it"
                )
            self._folder.draft(image.id).unlink()

    def _check_wanted(self, image: Image, doing: str) -> None:
        images = self._folder.images
        self._check_unlisted(image, doing)
        if not image.size:
            raise NotFoundError(f"{doing}: it has no bytes; upload it first")
        if not os.statvfs(images).f_bavail:
            raise no_space(doing, images)

    def _check_unlisted(self, image: Image, doing: str) -> None:
        place_of = partial(self._folder.location_of, image.id)
        if self._store in image.stores or any(map(place_of, image.locations)):
            raise ConflictError(
                f"{doing}: Glance lists what is in {self._folder.images}; if it does "
                f"so under another store's name, give each a directory of its own"
            )

    def _begun(self, image: Image, leaving: ExitStack) -> tuple[int, bool]:
        """Return the draft's file, and whether bytes are in it already."""
        fd = self._alone(image, leaving)
        try:
            again = self._taken_back(image, leaving)
            if again is not None:
                return again, True
            self._check_way(image.id)
            return fd, _sized(fd, image.size or 0)
        except BaseException:
            _drop_empty(fd, self._folder.draft(image.id))
            raise

    def _alone(self, image: Image, leaving: ExitStack) -> int:
        fd = open_alone(self._folder.draft(image.id), image.id)
        leaving.callback(os.close, fd)
        return fd

    def _taken_back(self, image: Image, leaving: ExitStack) -> int | None:
        """Give our own published copy its draft's name again; None if there is none.

        Such as one that a killed process published and did not register. Nobody can
        link to it afterwards, so then it is seen whether anybody has.
        """
        final, draft = self._folder.glance_file(image.id), self._folder.draft(image.id)
        try:
            fd = os.open(final, READ_WRITE)
        except FileNotFoundError:
            return None
        if os.fstat(fd).st_size != image.size or not self._marks.has(fd, image.id):
            os.close(fd)
            return None
        leaving.callback(os.close, fd)
        with suppress(ForbiddenError):
            # On a shared filesystem nobody can tell. Glance never listed the copy, and
            # who links to it is found below.
            check_closed(fd, final, f"rm {shlex.quote(str(final))}", self._clock)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        final.replace(draft)
        if os.fstat(fd).st_nlink > 1:
            rename_to_free(draft, final)
            raise ConflictError(
                f"{final} is a copy that Glance does not list, but disks lie on it "
                f"already: delete those disks, then try again"
            )
        return fd

    def _check_way(self, image: ImageId) -> None:
        """Accept what lies where the copy will be, if it can be moved away then."""
        leftover = self._leftovers.find(image)
        if leftover:
            self._folder.disks.mkdir(exist_ok=True)
            with self._leftovers.found(leftover):
                pass

    def _clear_way(self, image: ImageId) -> None:
        """Move what a broken copy left out of the way."""
        leftover = self._leftovers.find(image)
        if leftover:
            self._folder.disks.mkdir(exist_ok=True)
            with self._leftovers.found(leftover) as found:
                self._leftovers.move(found)

    def _publish(self, image: Image, fd: int) -> Location:
        final, draft = self._folder.glance_file(image.id), self._folder.draft(image.id)
        os.fchmod(fd, self._mode or 0o666 & ~_umask())
        self._marks.put(fd, image.id)
        os.fsync(fd)
        self._clear_way(image.id)
        try:
            rename_to_free(draft, final)
        except FileExistsError as error:
            raise ConflictError(
                f"{final} has just been made by somebody else: see who writes there, "
                f"then copy again"
            ) from error
        _flush_directory(final.parent)
        return Location(f"file://{final}", self._store)

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(doing, self._folder.images)


def _open_whole(path: Path, image: Image) -> int:
    """Return the open file of an image that has the size that Glance knows.

    Raises:
        NotFoundError: There is none.
    """
    try:
        fd = os.open(path, _READ)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise _not_whole(path, image) from error
        raise
    status = os.fstat(fd)
    if not S_ISREG(status.st_mode) or status.st_size != image.size:
        os.close(fd)
        raise _not_whole(path, image)
    return fd


def _not_whole(path: Path, image: Image) -> NotFoundError:
    return NotFoundError(
        f"{path} is not there, or has not the {image.size} bytes of image {image.id} "
        f"({image.name}): see what became of it"
    )


def _sized(fd: int, size: int) -> bool:
    """Give the draft its size; return whether bytes of an earlier try are in it."""
    status = os.fstat(fd)
    if status.st_size == size and status.st_blocks:
        return True
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size)
    return False


def _drop_empty(fd: int, draft: Path) -> None:
    """Remove the name that was only taken to keep others away."""
    if not os.fstat(fd).st_size:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    """Return this process's; to ask for it by umask(2) is to change it for all threads.

    `/proc` says it since Linux 4.7.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "Umask":
            return int(value, 8)
    return 0o027


def _flush_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
