"""An RBD image in the making: noted, marked, unfinished, and gone on with."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, replace
from typing import Any

from cowpath.core.errors import CowpathError
from cowpath.core.model import Bytes, Image, Location, StoreName
from cowpath.core.transfer import Extent, Original, Terms, Verify
from cowpath.core.transfer_rules import runs
from cowpath.stores.rbd import _imaging, _marks
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._comparing import Compared, compared, differing
from cowpath.stores.rbd._known_sums import KnownSums
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd._leases import Lease
from cowpath.stores.rbd._librados import Librados
from cowpath.stores.rbd._originals import RbdOriginal
from cowpath.stores.rbd._places import SNAPSHOT, Place, draft_name
from cowpath.stores.rbd._ranges import pieces
from cowpath.stores.rbd._sums_ahead import Remembering, SumsAhead, SumsBehind

_Known = tuple[Layout | None, KnownSums | None, SumsBehind | None]
"""A source's layout, its checksums, and those of the target that are like them."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is made, where, and with what.

    Attributes:
        image: It is of this one.
        terms: How it is copied.
        order: Its objects have 2**order bytes.
        pool_name: Of the pool.
        pool: It, open.
        instance: By which the cluster knows our connection.
        fsid: The cluster's.
        lanes: Where checksums are asked for.
        clear: Sets aside what has the image's name.
        caps: What it takes of a user.
    """

    image: Image
    terms: Terms
    order: int
    cluster: librbd.Cluster
    store: StoreName
    pool_name: str
    pool: librbd.Pool
    instance: int
    fsid: str
    librados: Librados
    lanes: Executor
    clear: Callable[[Image], None]
    caps: str


class RbdDraft:
    """A draft. Implements `core.transfer.Draft`.

    It is opened for writing when that is first needed: `deep_copy` makes its target.
    """

    def __init__(self, target: Target, lease: Lease, *, resumed: bool) -> None:
        self._target = target
        self._image = target.image
        self._terms = target.terms
        self._lease = lease
        self._resumed = resumed
        self._name = draft_name(target.image.id)
        self._order = target.order
        self._lock = threading.RLock()
        self._opened: librbd.Opened | None = None
        self._seen: librbd.Opened | None = None
        self._opening: Future[librbd.Opened | None] | None = None
        self._failure: CowpathError | None = None
        self._known: _Known = (None, None, None)
        # A byte for each chunk: a set of their numbers has 60 times as many.
        self._touched = bytearray(-(-self.size // target.terms.chunk))
        self._taken = False
        self._written = False
        self._finished = False

    @property
    def resumed(self) -> bool:
        """Return whether an earlier try left bytes here, or a failed `take`."""
        return self._resumed

    @property
    def finished(self) -> bool:
        """Tell whether there is no draft any more."""
        return self._finished

    @property
    def size(self) -> Bytes:
        """Return how large it is, holes included."""
        return Bytes(self._image.size or 0)

    @property
    def where(self) -> str:
        """Return its pool and name."""
        return f"{self._target.pool_name}/{self._name}"

    def extents(self) -> Iterator[Extent]:
        """Yield what may hold data, in order."""
        opened = self._readable()
        with self._telling(f"list what {self.where} holds"):
            for start, end in _imaging.extents(opened, self.size):
                yield from pieces(start, end, self._terms.chunk)

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of `extent`."""
        opened = self._readable()
        with self._telling(f"read {extent.length} bytes of {self.where}"):
            return bytes(opened.read(extent.offset, extent.length))

    def unchanged(self) -> None:
        """Accept that nobody else is at it."""
        with self._telling(f"look whether {self.where} is still ours"):
            self._lease.answered()
            self._lease.check()

    def present(self) -> Bytes:
        """Return how many bytes have arrived."""
        target, opening = self._target, self._opening
        with target.cluster.doing(f"look at {self.where}", caps=target.caps):
            if opening is not None and not self._written:
                # To open it again takes a second over a long way.
                early = opening.done() and opening.exception() is None
                seen = opening.result() if early else None
                return Bytes(librbd.allocated(seen) if seen else 0)
            seen = _imaging.present(target.cluster, target.pool_name, self._name)
            return Bytes(0) if seen is None else seen

    def take(self, original: Original) -> bool:
        """Copy all of `original` by `deep_copy`, where it is a plain image of RBD."""
        if not self._is_blank:
            return False
        if isinstance(original, RbdOriginal) and original.size == self.size:
            self._order = original.layout.order
            if self._may_take(original.layout):
                return self._take(original)
        self._ready()
        return False

    def write(self, extent: Extent, data: bytes) -> None:
        """Put `data` at `extent`; runs of zeros are left out, or made holes."""
        self._lease.held()
        opened = self._changeable()
        with self._telling(f"write {extent.length} bytes to {self.where}"):
            for part, has_data in runs(extent, data):
                start = part.offset - extent.offset
                if has_data:
                    for chunk in self._chunks(part):
                        self._touched[chunk] = True
                    opened.write(data[start : start + part.length], part.offset)
                elif self._may_hold(part):
                    opened.write_zeroes(part.offset, part.length)

    def differing(
        self, original: Original, extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        """Yield those of `extents` that are not as in `original`, by checksums."""
        if not isinstance(original, RbdOriginal) or not original.librados.is_able:
            return None
        if self._is_blank:
            # It is made like that one, once it is known how.
            self._order = original.layout.order
            return iter(extents) if original.layout.is_plain else None
        opened = self._readable()
        with self._telling(f"look at {self.where}"):
            if self._written:
                opened.flush()
            mine = _imaging.layout(opened)
            if opened is not self._seen:
                mine = replace(mine, snapshot=None)
        if not mine.is_like(original.layout):
            return None
        return self._differing(original, mine, extents)

    def publish(self) -> Location:
        """Give it the image's name, with the snapshot that Glance's have."""
        target = self._target
        with self._telling(f"publish {self.where}"):
            self._lease.check()
            if not self._taken or self._opened is not None:
                opened = self._ready()
                opened.flush()
                _imaging.keep_snapshot(opened)
            self.close()
            try:
                _imaging.rename(target.pool, self._name, self._image.id)
            except librbd.ImageExists:
                self._clear()
                _imaging.rename(target.pool, self._name, self._image.id)
            # Stopped for long before that, it may be another's that was renamed.
            self._lease.check()
        self._finished = True
        place = Place(target.fsid, target.pool_name, self._image.id, SNAPSHOT)
        return Location(place.url, target.store)

    def discard(self) -> None:
        """Remove it; absent is fine."""
        with (
            self._telling(f"remove {self.where}"),
            suppress(librbd.ImageNotFound),
        ):
            self._lease.check()
            # Opened as it was left, librbd would not know of all its objects.
            with self._lock:
                opened = self._opened = self._opened or self._open(marked=False)
            _imaging.drop_snapshot(opened)
            self.close()
            librbd.remove(self._target.pool, self._name)
        self._finished = True

    def close(self) -> None:
        """Let go of it; it stays."""
        with self._lock, self._telling(f"close {self.where}"):
            opened, self._opened = self._opened, None
            seen, self._seen = self._seen, None
            early, self._opening = self._opening, None
            for each in self._early(early) - {seen}:
                each.close()
            if seen is not None:
                seen.close()
            if opened is not None:
                self._target.cluster.close_image(opened)

    def _early(self, opening: Future[librbd.Opened | None] | None) -> set[Any]:
        if opening is None or opening.exception() is not None:
            return set()
        return {opening.result()} - {None}

    @property
    def _is_blank(self) -> bool:
        """Nothing of it is there yet."""
        return self._opened is None and not self._resumed and not self._taken

    def _may_take(self, layout: Layout) -> bool:
        return layout.is_plain and layout.is_base and self._terms.bandwidth is None

    def _take(self, original: RbdOriginal) -> bool:
        """Return whether librbd was able to."""
        target = (self._target.pool, self._name)
        # Until it is whole.
        self._resumed = True
        with self._telling(f"copy {original.where} to {self.where}"):
            self._lease.check()
            try:
                with self._ahead(original):
                    _imaging.deep_copy(original.opened, original.layout, target)
            except librbd.ImageExists:
                self._lease.forget()
                raise
            except _imaging.Unable:
                return False
            original.unchanged()
            # It is as it was made only now: without it, it would be settled.
            self._mark()
        self._taken = True
        self._resumed = False
        return True

    @contextmanager
    def _ahead(self, original: RbdOriginal) -> Iterator[None]:
        """Have done meanwhile what proving it takes."""
        over, target = threading.Event(), self._target
        ahead = SumsAhead(original, target.lanes)
        behind = SumsBehind(ahead.known, target.librados.sums, target.lanes)
        wanted = original.layout, over, behind
        self._opening = opening = target.lanes.submit(self._open_when_begun, *wanted)
        try:
            with ahead if self._terms.verify is not Verify.NONE else nullcontext():
                yield
        finally:
            over.set()
            wait([opening])
            behind.end()
        self._known = original.layout, ahead.known, behind
        with suppress(*librbd.Error):
            self._seen = opening.result()

    def _open_when_begun(
        self, wanted: Layout, over: threading.Event, behind: SumsBehind
    ) -> librbd.Opened | None:
        """Return it, open at the snapshot that is being filled; None where too late."""
        pool = self._target.pool
        made = _imaging.layout_when_begun(pool, self._name, wanted, over)
        if made is None:
            return None
        if self._terms.verify is not Verify.NONE:
            behind.begin(made)
        return _imaging.open_snapshot(pool, self._name)

    def _clear(self) -> None:
        """Set aside what has the image's name."""
        target, name = self._target, self._image.id
        # Not ourselves: a rename that failed half way has left us two names.
        rbd_id = _imaging.id_behind(target.pool, self._name)
        _imaging.mend_names(target.pool, rbd_id, self._name, name)
        target.clear(self._image)
        self._lease.check()

    def _readable(self) -> librbd.Opened:
        """Return it open; at its snapshot if that is what will be published."""
        with self._lock:
            if self._written:
                return self._ready()
            if self._seen is None and (self._taken or self._resumed):
                opened = self._ready()
                with self._telling(f"look at {self.where}"):
                    if SNAPSHOT in librbd.snapshots(opened):
                        self._seen = _imaging.open_snapshot(
                            self._target.pool, self._name
                        )
            return self._seen or self._ready()

    def _ready(self) -> librbd.Opened:
        """Return it, open for writing; it is made if need be.

        Who waited while another tried has waited as long as the bound says.
        """
        known = self._failure
        with self._lock:
            if self._failure is not known and self._failure is not None:
                failure = self._failure
                raise type(failure)(*failure.args) from failure
            if self._opened is None:
                try:
                    self._opened = self._open_or_make()
                except CowpathError as error:
                    self._failure = error
                    raise
            return self._opened

    def _open_or_make(self) -> librbd.Opened:
        with self._telling(f"open {self.where}"):
            try:
                return self._open()
            except librbd.ImageNotFound:
                self._lease.check()
                self._create()
                return self._open()

    def _create(self) -> None:
        try:
            _imaging.create(self._target.pool, self._name, self.size, self._order)
        except librbd.ImageExists:
            self._lease.forget()
            raise

    def _open(self, *, marked: bool = True) -> librbd.Opened:
        cluster, pool = self._target.cluster, self._target.pool
        opened = librbd.open_image(pool, self._name, writable=True)
        with ExitStack() as leaving:
            leaving.callback(cluster.close_image, opened)
            _imaging.break_dead_lock(opened, self._target.instance)
            if not _marks.read(librbd.metadata(opened, _marks.COPY), opened.id()):
                if not self._taken:
                    _imaging.settle(opened)
                if marked:
                    self._mark()
            leaving.pop_all()
        return opened

    def _mark(self) -> None:
        """Have it bear our mark: nothing of it is as a killed `deep_copy` left it."""
        pool = self._target.pool
        rbd_id = _imaging.id_behind(pool, self._name)
        mark = _marks.Mark(self._image.id, rbd_id)
        _imaging.set_metadata(pool, rbd_id, _marks.COPY, mark.text())

    def _changeable(self) -> librbd.Opened:
        """Return it without a snapshot, which would keep what is overwritten."""
        opened = self._ready()
        if not self._written:
            with self._lock, self._telling(f"change {self.where}"):
                _imaging.drop_snapshot(opened)
                self._written = True
        return opened

    def _differing(
        self, original: RbdOriginal, mine: Layout, extents: Iterable[Extent]
    ) -> Iterator[Extent]:
        layout, known, behind = self._known
        if layout != original.layout:
            known = behind = None
        with ExitStack() as leaving:
            theirs = leaving.enter_context(original.librados.sums(original.layout))
            ours = leaving.enter_context(self._target.librados.sums(mine))
            seen = behind.known(ours) if behind and not self._written else None
            images = Remembering(theirs, known), Remembering(ours, seen)
            asked = compared(images, extents, mine.object_size, self._target.lanes)
            found = leaving.enter_context(closing(asked))
            yield from differing(found, lambda each: self._is_other(original, each))
        original.unchanged()

    def _may_hold(self, part: Extent) -> bool:
        """Tell whether there may be bytes already."""
        before = self._resumed or self._taken
        return before or any(self._touched[chunk] for chunk in self._chunks(part))

    def _chunks(self, part: Extent) -> range:
        """Return the numbers of the chunks that it touches."""
        chunk = self._terms.chunk
        return range(part.offset // chunk, -(-part.end // chunk))

    def _is_other(self, original: Original, each: Compared) -> bool:
        absent = each.known and each.ours is None
        if absent and self._resumed and not self._written:
            # Not copied yet. What is written as zeros has no object later.
            return True
        return original.read(each.part) != self.read(each.part)

    def _telling(self, what: str) -> AbstractContextManager[None]:
        return self._target.cluster.telling(what, caps=self._target.caps)
