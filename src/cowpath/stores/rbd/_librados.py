"""What librados can do and its Python binding cannot: hence ctypes, and a connection.

Checksums of objects, made by the OSDs that hold them, so that no bytes travel: they are
xxhash64, and there since Luminous. And breaking the lock of a holder that is dead.
"""

import ctypes
import errno
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from cowpath.core.errors import CowpathError
from cowpath.core.transfer import Extent
from cowpath.stores.rbd._bounds import bounds
from cowpath.stores.rbd._failures import Doing, meaning, not_connected
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd.config import RbdConfig

_LIBRARY = "librados.so.2"
_XXHASH64 = 1
_SEED = bytes(8)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT = 64 * 1024**2
_LARGE = 6 * 1024**2
_ARENAS = 2

_LOCKER = 1024
"""Bytes for what is told of a lock's only holder."""

_ROOM = 12
"""Bytes of an answer: how many checksums, which is one, and that."""

_LOST = frozenset({errno.ESHUTDOWN, errno.ENOTCONN, errno.EBADF})
_UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an advisory lock, as the cluster knows him.

    Attributes:
        client: Such as `client.4711`.
        cookie: What he took it with.
    """

    client: str
    cookie: str


class UnableError(Exception):
    """The OSDs make no checksums of these objects."""


class Librados:
    """One long-lived connection to a cluster, by librados itself.

    Safe to share between threads.
    """

    def __init__(self, config: RbdConfig, cluster: str) -> None:
        self._config = config
        self._cluster = cluster
        self._lock = threading.Lock()
        self._lock_of_contexts = threading.Lock()
        self._client: ctypes.c_void_p | None = None
        self._users = 0
        self._retired: list[ctypes.c_void_p] = []

    @property
    def is_able(self) -> bool:
        """Tell whether this host's librados can ask for checksums."""
        try:
            return _library() is not None
        except UnableError:
            return False

    def close(self) -> None:
        """Close the connection when its last user is done."""
        with self._lock:
            self._retire()
            self._sweep()

    @contextmanager
    def sums(self, layout: Layout) -> Iterator["ObjectSums"]:
        """Give what asks for checksums of an image's objects.

        Raises:
            UnableError: This host's librados cannot ask for them.
        """
        with ExitStack() as opened:
            yield ObjectSums(self, partial(self._context, layout, opened), layout)

    def _context(self, layout: Layout, opened: ExitStack) -> ctypes.c_void_p:
        with self._lock_of_contexts:
            context = opened.enter_context(self._pool(layout.pool_id))
        if layout.snapshot is not None:
            at = ctypes.c_uint64(layout.snapshot)
            _library().rados_ioctx_snap_set_read(context, at)
        return context

    def holder(self, pool_id: int, name: str, lock: str) -> Holder | None:
        """Return who holds an advisory lock alone; None if nobody does."""
        alone, size = ctypes.c_int(), ctypes.c_size_t
        told = [ctypes.create_string_buffer(_LOCKER) for _ in range(4)]
        room = [each for text in told for each in (text, ctypes.byref(size(_LOCKER)))]
        with self._pool(pool_id) as context:
            names = name.encode(), lock.encode()
            found = _library().rados_list_lockers(
                context, *names, ctypes.byref(alone), *room
            )
            if found in (0, -errno.ENOENT):
                return None
            self.accept(found, f"see who holds {name}")
        _tag, client, cookie, _address = (text.value.decode() for text in told)
        return Holder(client, cookie)

    def break_lock(self, pool_id: int, name: str, lock: str, holder: Holder) -> None:
        """Take an advisory lock from a holder; not from whoever has it since."""
        words = (each.encode() for each in (name, lock, holder.client, holder.cookie))
        with self._pool(pool_id) as context:
            answer = _library().rados_break_lock(context, *words)
            if answer != -errno.ENOENT:
                self.accept(answer, "break a dead lock")

    @contextmanager
    def _pool(self, pool_id: int) -> Iterator[ctypes.c_void_p]:
        client = self._enter()
        context, number = ctypes.c_void_p(), ctypes.c_int64(pool_id)
        try:
            self.accept(
                _library().rados_ioctx_create2(client, number, ctypes.byref(context)),
                "open a pool",
            )
            yield context
        finally:
            if context.value is not None:
                _library().rados_ioctx_destroy(context)
            self._leave()

    def accept(self, answer: int, doing: str) -> None:
        """Raise what a negative answer means.

        Raises:
            UnableError: The pool has no checksums.
        """
        if answer >= 0:
            return
        number = -answer
        if number in _UNABLE:
            raise UnableError(errno.errorcode.get(number, str(number)))
        if number in _LOST:
            with self._lock:
                self._retire()
        raise meaning(number, _words(number), Doing(doing, self._cluster))

    def _enter(self) -> ctypes.c_void_p:
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            self._users += 1
            return self._client

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            self._sweep()

    def _retire(self) -> None:
        if self._client is not None:
            self._retired.append(self._client)
            self._client = None

    def _sweep(self) -> None:
        while self._retired and not self._users:
            _library().rados_shutdown(self._retired.pop())

    def _connected(self) -> ctypes.c_void_p:
        library, client = _library(), ctypes.c_void_p()
        config = self._config
        user = f"client.{config.user}" if config.user else "client.admin"
        made = library.rados_create2(
            ctypes.byref(client), b"ceph", user.encode(), ctypes.c_uint64(0)
        )
        if made < 0:
            raise self._unconnected(-made)
        conf = config.conf.encode() or None
        answer = library.rados_conf_read_file(client, conf)
        for name, value in bounds(config).items():
            library.rados_conf_set(client, name.encode(), value.encode())
        answer = answer or library.rados_connect(client)
        if answer < 0:
            library.rados_shutdown(client)
            raise self._unconnected(-answer)
        return client

    def _unconnected(self, number: int) -> CowpathError:
        return not_connected(number, _words(number), self._cluster)


class ObjectSums:
    """The checksums of one image's objects.

    Each thread asks through a context of its own: that alone tells the version of the
    object which its last request was about.
    """

    def __init__(
        self,
        owner: Librados,
        open_context: Callable[[], ctypes.c_void_p],
        layout: Layout,
    ) -> None:
        self._owner = owner
        self._open_context = open_context
        self._layout = layout
        self._mine = threading.local()

    def of(self, part: Extent) -> bytes | None:
        """Return the checksum of a part of an object; None if there is no object.

        It is of the bytes that are there: of an object that ends early, of fewer.

        Raises:
            UnableError: The pool has no checksums.
        """
        number, offset = divmod(part.offset, self._layout.object_size)
        room = ctypes.create_string_buffer(_ROOM)
        answer = _library().rados_checksum(
            self._context,
            self._layout.object_name(number).encode(),
            _XXHASH64,
            _SEED,
            ctypes.c_size_t(len(_SEED)),
            ctypes.c_size_t(part.length),
            ctypes.c_uint64(offset),
            ctypes.c_size_t(0),
            room,
            ctypes.c_size_t(_ROOM),
        )
        if answer == -errno.ENOENT:
            return None
        self._owner.accept(answer, f"compare {self._layout.object_name(number)}")
        count, value = struct.unpack("<I8s", room.raw)
        return bytes(value) if count else b""

    def seen(self, part: Extent) -> tuple[bytes | None, int]:
        """Return a checksum as `of` does, and the version of its object then."""
        found = self.of(part)
        return found, self._version()

    def version(self, part: Extent) -> int | None:
        """Return the version of the object that `part` lies in; None if there is none.

        Every change of the object, as it is at the snapshot, gives it another.
        """
        name = self._layout.object_name(part.offset // self._layout.object_size)
        answer = _library().rados_stat(self._context, name.encode(), None, None)
        if answer == -errno.ENOENT:
            return None
        self._owner.accept(answer, f"look at {name}")
        return self._version()

    def _version(self) -> int:
        return int(_library().rados_get_last_version(self._context))

    @property
    def _context(self) -> ctypes.c_void_p:
        context: ctypes.c_void_p | None = getattr(self._mine, "context", None)
        if context is None:
            context = self._mine.context = self._open_context()
        return context


@cache
def bound_memory() -> None:
    """Have malloc give large buffers back at once, in the whole process.

    glibc raises the size from which it does so as such buffers are freed; then those of
    librbd's copies, 8 MiB each, stay in the arenas of its threads. Seen while 304 MiB
    were copied thrice: 333, 398 and 415 MiB resident; so 155 at most, and as fast.

    Parts of 4 MiB are used again: where each was mapped and unmapped, and its pages
    cleared, 304 MiB with their hash took 2.9 s instead of 2.4. For this to stay small
    (210 MiB at most) there are few arenas, unless there are more of them already.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def give_memory_back() -> None:
    """Have malloc give back what it kept of a copy.

    A process that copied had 20 to 30 MiB more than before, and 120 without this.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
        library.rados_checksum.restype = ctypes.c_int
        library.rados_list_lockers.restype = ctypes.c_ssize_t
        library.rados_get_last_version.restype = ctypes.c_uint64
    except (OSError, AttributeError) as error:
        raise UnableError(str(error)) from error
    return library


def _words(number: int) -> str:
    return errno.errorcode.get(number, f"errno {number}")
