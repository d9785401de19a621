"""One worker at a time in a folder, whichever process and thread it is in."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderLock:
    """The lock of a disks folder: flock(2) on a file in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # flock alone would keep threads apart too. But where threads are green,
        # one that blocks in the kernel stops the one that holds the lock.
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[int]:
        """Hold the lock; yields its descriptor.

        A child process that inherits the descriptor keeps the lock until it ends,
        even when its parent is killed.
        """
        with self._threads:
            fd = self._locked()
            try:
                yield fd
            finally:
                # Closing would not unlock while a forked copy is open elsewhere.
                fcntl.flock(fd, fcntl.LOCK_UN)
                os.close(fd)

    def _locked(self) -> int:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if self._is_current(fd):
                return fd
            os.close(fd)

    def _is_current(self, fd: int) -> bool:
        """Tell whether the file we locked is still the one of that name."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(now, os.fstat(fd))
