"""Who copies an image to a pool: one caller at a time, for as long as it lives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cowpath.core.errors import BusyError, CowpathError
from cowpath.core.model import ImageId, Seconds
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._librados import Librados, UnableError
from cowpath.stores.rbd._lock import Lock
from cowpath.stores.rbd._processes import is_dead, me

LEASE: Seconds = 15
"""After which a killed holder blocks nobody any more."""

_RENEWED = 3
"""Times that it is renewed within that."""

_LOCK = "copy"
_NOTE = "draft"


class Lease:
    """The lock of an image's draft, renewed by a thread of its own, and its note.

    Attributes:
        dead: By which the cluster knows the killed client that it was taken from.


    Both are in an object of the image's own, in the pool that it is copied to. The
    note says that an image of the draft's name is ours: it is written while there is
    none. It stays when the holder is killed, for the next one.
    """

    def __init__(self, pool: librbd.Pool, image: ImageId, librados: Librados) -> None:
        self._pool = pool
        self._object = f"cowpath.copy.{image}"
        self._lock = Lock(pool, self._object, _LOCK, LEASE, me())
        self._librados = librados
        self._over = threading.Event()
        self._lost: BusyError | None = None
        self._unanswered: Exception | None = None
        self._left_alone = False
        self.dead: int | None = None
        self._thread = threading.Thread(
            target=self._renewing, name=f"lease of {image}", daemon=True
        )

    def take(self) -> None:
        """Take it; at once from a process of this host that was killed.

        Raises:
            BusyError: Somebody else copies the image to the pool.
        """
        self._seize()
        self._thread.start()

    def check(self) -> None:
        """Accept that it was never lost; have it for the whole time again.

        Raises:
            BusyError: Somebody else may be at it.
        """
        self.held()
        self._renew()
        self.held()

    def held(self) -> None:
        """Accept that it was not lost, as far as is known; asks nobody.

        Raises:
            BusyError: Somebody else may be at it.
        """
        if self._lost is not None:
            raise BusyError(str(self._lost)) from self._lost

    def answered(self) -> None:
        """Accept that the cluster answered the last renewal; asks nobody.

        Raises:
            Exception: The library's, of that renewal.
        """
        if self._unanswered is not None:
            raise self._unanswered

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Renew it no more, if the cluster did not answer the last time.

        Where it does not answer what is done inside either, leaving it asks no more.
        """
        if self._unanswered is not None:
            self._over.set()
        try:
            yield
        except CowpathError:
            self._left_alone = self._over.is_set()
            raise

    def drop(self) -> None:
        """Remove what a killed holder left of it, unless somebody holds it."""
        with suppress(BusyError, *librbd.Error):
            self._pool.stat(self._object)
            self._seize()
            self._pool.remove_object(self._object)

    def noted(self) -> bool:
        """Tell whether a draft was begun, by us or somebody before us."""
        return bool(librbd.got(self._pool, self._object, _NOTE))

    def note(self) -> None:
        """Note that a draft is begun, or gone on with."""
        librbd.put(self._pool, self._object, _NOTE, self._lock.cookie)

    def forget(self) -> None:
        """Drop the note: what has the draft's name is somebody else's."""
        librbd.take(self._pool, self._object, _NOTE)

    def leave(self, *, finished: bool) -> None:
        """Let go of it; with what is noted where the draft is no more.

        Where the cluster does not answer it ends by itself.
        """
        self._over.set()
        self._thread.join()
        with suppress(BusyError, *librbd.Error):
            if finished:
                self.check()
                # The lock goes with it.
                self._pool.remove_object(self._object)
                return
        if not self._left_alone:
            self._lock.leave()

    def _seize(self) -> None:
        try:
            self._lock.take()
        except BusyError:
            if not self._break_dead():
                raise
            self._lock.take()

    def _break_dead(self) -> bool:
        """Tell whether the holder was dead, and holds it no more."""
        number = self._pool.get_pool_id()
        try:
            holder = self._librados.holder(number, self._object, _LOCK)
        except UnableError:
            return False
        if holder is None:
            return True
        process, _, _ = holder.cookie.rpartition(" ")
        if not is_dead(process):
            return False
        self._librados.break_lock(number, self._object, _LOCK, holder)
        self.dead = int(holder.client.rpartition(".")[2])
        return True

    def _renewing(self) -> None:
        while not self._over.wait(LEASE / _RENEWED) and self._lost is None:
            try:
                self._renew()
                self._unanswered = None
            except librbd.Error as error:
                # It may still be ours: the next time tells.
                self._unanswered = error

    def _renew(self) -> None:
        try:
            self._lock.renew()
        except BusyError as error:
            self._lost = self._after(error)

    def _after(self, ended: BusyError) -> BusyError | None:
        """Take it again after it has ended; None if nobody had it meanwhile."""
        try:
            self._lock.take()
        except BusyError as error:
            return error
        noted = librbd.got(self._pool, self._object, _NOTE)
        return None if noted == {_NOTE: self._lock.cookie} else ended
