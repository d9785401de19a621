"""One worker at a time in a folder, whichever process and thread it is in."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cowpath.core.errors import UnavailableError
from cowpath.core.model import Seconds
from cowpath.core.ports import Clock

_PATIENCE: Seconds = 60
"""Making a disk takes some 30 ms: this is for hundreds of callers in a row."""
_FIRST_PAUSE: Seconds = 0.001
_LONGEST_PAUSE: Seconds = 0.02


class FolderLock:
    """The lock of a disks folder: flock(2) on a file in it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        # flock alone would keep threads apart too. But threads that queue here get
        # their turn in order, and need not look again and again.
        self._threads = threading.Lock()

    @contextmanager
    def held(self, doing: str) -> Iterator[int]:
        """Hold the lock; yields its descriptor.

        A child process that inherits the descriptor keeps the lock until it ends,
        even when its parent is killed.

        Args:
            doing: What needs it, for the message.

        Raises:
            UnavailableError: Somebody else does not let go of it.
        """
        if not self._threads.acquire(timeout=_PATIENCE):
            raise self._given_up(doing)
        try:
            fd = self._locked(doing)
            try:
                yield fd
            finally:
                # Closing would not unlock while a forked copy is open elsewhere.
                fcntl.flock(fd, fcntl.LOCK_UN)
                os.close(fd)
        finally:
            self._threads.release()

    def _locked(self, doing: str) -> int:
        until, pause = self._clock.now() + _PATIENCE, _FIRST_PAUSE
        while (fd := self._try()) is None:
            if self._clock.now() >= until:
                raise self._given_up(doing)
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return fd

    def _try(self) -> int | None:
        """Return the descriptor of the lock if it is free now."""
        # Never blocking in the kernel: nothing ends that wait where the holder is
        # stopped, and where threads are green it stops all of them.
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current(fd):
                return fd
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _is_current(self, fd: int) -> bool:
        """Tell whether the file we locked is still the one of that name."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(now, os.fstat(fd))

    def _given_up(self, doing: str) -> UnavailableError:
        return UnavailableError(
            f"{doing}: others held {self._path} for {_PATIENCE:.0f} s; nothing was "
            f"changed: see who does (fuser -v {self._path}); a cowpath or qemu-img "
            f"that is stopped (state T in ps) must go on (kill -CONT PID) or be ended"
        )
