"""A RADOS advisory lock: it keeps out those who take it, and nobody else."""

import math
from contextlib import suppress
from typing import Any
from uuid import uuid4

from cowpath.core.errors import BusyError
from cowpath.core.model import Seconds
from cowpath.stores.rbd import _librbd as librbd

_ONLY_RENEW = 2
"""LIBRADOS_LOCK_FLAG_MUST_RENEW: refused to whoever does not hold it any more."""


class Lock:
    """An advisory lock on an object, which is made if need be.

    It ends by itself after `within` seconds: a killed holder blocks nobody for ever.
    Others may read `who` holds it.
    """

    def __init__(
        self, pool: Any, name: str, lock: str, within: Seconds, who: str = ""
    ) -> None:
        self._pool = pool
        self._lock = name, lock, f"{who} {uuid4().hex}".lstrip()
        self._seconds = math.ceil(within)

    @property
    def cookie(self) -> str:
        """Return what tells this holder from others of the same client."""
        return self._lock[2]

    def take(self) -> None:
        """Take it.

        Raises:
            BusyError: Somebody else holds it.
        """
        name, lock, _ = self._lock
        try:
            self._pool.lock_exclusive(*self._lock, "", self._seconds)
        except librbd.LockHeld as error:
            raise BusyError(
                f"another call holds lock {lock} of object {name}: try again when it "
                f"is over, or {self._seconds} s after it was killed"
            ) from error

    def renew(self) -> None:
        """Have it for the whole time again.

        Raises:
            BusyError: It has ended, so that somebody else may have had it since.
        """
        name, lock, _ = self._lock
        try:
            self._pool.lock_exclusive(*self._lock, "", self._seconds, flags=_ONLY_RENEW)
        except (*librbd.LockHeld, librbd.ObjectNotFound) as error:
            raise BusyError(
                f"lock {lock} of object {name} ended {self._seconds} s after it was "
                f"taken, before its work was done: the cluster is slow (`ceph -s`), or "
                f"this process was stopped meanwhile: try again"
            ) from error

    def leave(self) -> None:
        """Let go of it; where that fails it ends by itself."""
        with suppress(*librbd.Error):
            self._pool.unlock(*self._lock)
