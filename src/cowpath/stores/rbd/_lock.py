"""A RADOS advisory lock: it keeps out those who take it, and nobody else."""

import math
from contextlib import suppress
from typing import Any
from uuid import uuid4

from cowpath.core.errors import BusyError
from cowpath.core.model import Seconds
from cowpath.stores.rbd import _librbd as librbd

_RENEW = 1
"""LIBRADOS_LOCK_FLAG_RENEW: who holds a lock may take it again."""


class Lock:
    """An advisory lock on an object, which is made if need be.

    It ends by itself after `within` seconds: a killed holder blocks nobody for ever.
    """

    def __init__(self, pool: Any, name: str, lock: str, within: Seconds) -> None:
        self._pool = pool
        self._lock = name, lock, uuid4().hex
        self._seconds = math.ceil(within)

    def take(self) -> None:
        """Take it, or have it for the whole time again.

        Raises:
            BusyError: Somebody else holds it.
        """
        try:
            self._pool.lock_exclusive(*self._lock, "", self._seconds, _RENEW)
        except librbd.LockHeld as error:
            name, lock, _ = self._lock
            raise BusyError(
                f"another call holds lock {lock} of object {name}: try again when it "
                f"is over, or {self._seconds} s after it was killed"
            ) from error

    def leave(self) -> None:
        """Let go of it; where that fails it ends by itself."""
        with suppress(*librbd.Error):
            self._pool.unlock(*self._lock)
