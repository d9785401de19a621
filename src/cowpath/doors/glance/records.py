"""Which copies run on this host, so that those of a killed glance-api are found.

A file for each copy, named after its task. Whoever runs the copy has the file locked;
the kernel takes the lock back when that process dies, however it does.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_SUFFIX = ".copy"
_NEW = ".new"


@dataclass(frozen=True, slots=True)
class Order:
    """A copy that Glance was asked for.

    Attributes:
        task: The id of Glance's task, which holds the import lock.
        image: Its id.
        stores: Where it is to go.
        all_or_none: Unless all get it none keeps it.
        tries: How often it was begun, without those that this process left itself.
        listed: Those of the stores that Glance lists, or is about to, by this copy.
    """

    task: str
    image: str
    stores: tuple[str, ...]
    all_or_none: bool
    tries: int = 0
    listed: tuple[str, ...] = ()


class Held:
    """An order that this process is at. Nobody else can be."""

    def __init__(self, path: Path, descriptor: int, order: Order) -> None:
        self._path = path
        self._descriptor = descriptor
        self.order = order

    def done(self) -> None:
        """Forget the order: it needs nobody any more."""
        self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let another process take it up, or this one later."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def is_noted(self) -> bool:
        """Return whether anybody would find it after this process."""
        return self._descriptor >= 0

    def count(self, tries: int) -> None:
        """Note how often it was begun."""
        self._note(replace(self.order, tries=tries))

    def note_listed(self, stores: Iterable[str]) -> None:
        """Note where Glance lists the image by this copy."""
        self._note(replace(self.order, listed=tuple(dict.fromkeys(stores))))

    def _note(self, order: Order) -> None:
        self.order = order
        if self.is_noted:
            os.pwrite(self._descriptor, _text(self.order), 0)
            os.fsync(self._descriptor)


class Records:
    """The folder of these files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._accepted: dict[str, Held] = {}

    def accept(self, order: Order) -> None:
        """Note an order that this process will begin with, as soon as it can."""
        # Why it cannot be noted is said when it begins.
        with suppress(OSError):
            self._accepted[order.task] = self._hold(order)

    def decline(self, order: Order) -> None:
        """Forget an order that was accepted, and is not done by us."""
        held = self._accepted.pop(order.task, None)
        if held is not None:
            held.done()

    def accepted(self) -> Iterator[Held]:
        """Yield each order that this process has accepted, and not begun."""
        yield from tuple(self._accepted.values())

    def release(self, order: Order) -> None:
        """Let whoever looks next find an order that was accepted."""
        held = self._accepted.pop(order.task, None)
        if held is not None:
            held.leave()

    def begin(self, order: Order) -> Held:
        """Note an order that this process begins with, if it can be noted."""
        try:
            return self._accepted.pop(order.task, None) or self._hold(order)
        except OSError as error:
            LOG.warning(
                "Task %s: its copy of image %s is not gone on with if this process is "
                "killed, because %s cannot be written: %s",
                *(order.task, order.image, self._folder, error),
            )
            return Held(self._path(order), -1, order)

    def _hold(self, order: Order) -> Held:
        # A parent that is not there may be a filesystem that is not mounted yet: what
        # is noted below its mount point would be out of sight afterwards.
        self._folder.mkdir(mode=0o750, exist_ok=True)
        path = self._path(order)
        new = path.with_suffix(_NEW)
        descriptor = _made(new)
        try:
            os.write(descriptor, _text(order))
            os.fsync(descriptor)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return Held(path, descriptor, order)

    def left_behind(self) -> Iterator[Held]:
        """Yield each order that nobody is at, held from now on."""
        self._tidy()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            held = None
            with suppress(FileNotFoundError):
                held = _taken(path)
            if held is not None:
                yield held

    def _tidy(self) -> None:
        """Remove what a process has left that was killed before it had noted all."""
        for path in self._folder.glob(f"*{_NEW}"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if _is_alone(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        path.unlink()
                finally:
                    os.close(descriptor)

    def _path(self, order: Order) -> Path:
        return self._folder / f"{order.task}{_SUFFIX}"


def _made(path: Path) -> int:
    """Return a new file, locked before it has its name: nobody finds it without."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            if _is_alone(descriptor, path, fcntl.LOCK_EX):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Somebody has just removed it as one that nobody is at.
        os.close(descriptor)


def _is_alone(descriptor: int, path: Path, how: int) -> bool:
    """Lock a file; tell whether it is still the one of that name."""
    fcntl.flock(descriptor, how)
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _taken(path: Path) -> Held | None:
    """Return what a file says, locked; None where somebody is at it or it is junk."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except PermissionError as error:
        LOG.warning("%s cannot be read: its copy is not gone on with: %s", path, error)
        return None
    held = None
    try:
        held = _locked(path, descriptor)
    finally:
        if held is None:
            os.close(descriptor)
    return held


def _locked(path: Path, descriptor: int) -> Held | None:
    try:
        # Whoever had it may have ended it, or begun anew, since it was opened.
        if not _is_alone(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return None
    except BlockingIOError:
        return None
    order = _order(os.pread(descriptor, 1 << 16, 0))
    if order is None:
        path.unlink(missing_ok=True)
        return None
    return Held(path, descriptor, order)


def _text(order: Order) -> bytes:
    """Return an order of one length: it is readable while it is overwritten."""

    def told(listed: Iterable[str]) -> bytes:
        facts = {"listed": [*listed], "tries": f"{order.tries:9}"}
        return json.dumps({**asdict(order), **facts}).encode()

    return told(order.listed).ljust(len(told(order.stores)))


def _order(text: bytes) -> Order | None:
    """Return what a file says; None where a disk lost it, for nobody can do it."""
    try:
        told = json.loads(text)
        lists = {name: tuple(told.get(name, ())) for name in ("stores", "listed")}
        return Order(**{**told, **lists, "tries": int(told["tries"])})
    except (ValueError, TypeError, KeyError):
        return None
