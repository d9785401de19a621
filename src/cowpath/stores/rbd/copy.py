"""A Ceph cluster as a copy's source and target: Glance's images, whole."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    NotFoundError,
    UnsuitableError,
)
from cowpath.core.model import Image, Location, image_id
from cowpath.core.rules import choose_location
from cowpath.core.transfer import Terms
from cowpath.stores.rbd import _imaging, _marks
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._comparing import LANES
from cowpath.stores.rbd._drafts import RbdDraft, Target
from cowpath.stores.rbd._leases import Lease
from cowpath.stores.rbd._leftovers import Leftovers
from cowpath.stores.rbd._librados import Librados, bound_memory, give_memory_back
from cowpath.stores.rbd._originals import RbdOriginal
from cowpath.stores.rbd._places import SNAPSHOT, Place, parse
from cowpath.stores.rbd._resuming import begin, check_closed, check_unneeded, is_ours
from cowpath.stores.rbd.config import RbdConfig

_OPTIONS = {"rbd_cache": "false"}
"""With a cache a write is done before the OSD has taken it, or refused it as full."""

_ORDER = 23
"""Of an image that is copied from a store without objects: 8 MiB, as Glance's are."""


class RbdImageStore:
    """A Glance store in a Ceph cluster. Implements `core.transfer.ImageStore`.

    What is copied arrives in the first of the configuration's images pools. A context
    of it is left in the thread that entered it; what it gives may be used in any.
    """

    def __init__(self, config: RbdConfig, *, order: int = _ORDER) -> None:
        bound_memory()
        self._config = config
        self._order = order
        self._pool = config.images_pools[0]
        self._cluster = librbd.Cluster(config, _OPTIONS)
        self._leftovers = Leftovers(config, self._cluster)
        self._librados = Librados(config, self._cluster.name)
        self._lock = threading.Lock()
        self._lanes: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"RbdImageStore(pool {self._pool}, {self._cluster!r})"

    def close(self) -> None:
        """Close the connections to the cluster; the next call opens new ones."""
        with self._lock:
            lanes, self._lanes = self._lanes, None
        if lanes is not None:
            lanes.shutdown(wait=False)
        self._librados.close()
        self._leftovers.close()
        self._cluster.close()

    @contextmanager
    def original(self, image: Image, terms: Terms) -> Iterator[RbdOriginal]:
        """Open the snapshot that Glance made of `image`."""
        image_id(image.id)
        place = self._place(image)
        where = f"{place.pool}/{place.image}@{place.snapshot}"
        what = f"read image {where}"
        caps = _reads(place.pool)
        with self._cluster.doing(what, caps=caps), self._seen(place) as opened:
            layout = _imaging.layout(opened)
            if layout.size != image.size:
                raise NotFoundError(
                    f"{where} has {layout.size} bytes, and image {image.id} has "
                    f"{image.size}: it is another's, or not whole"
                )
            yield RbdOriginal(
                opened,
                self._cluster.pool(place.pool),
                layout,
                where,
                terms.chunk,
                self._librados,
                lambda what: self._cluster.telling(what, caps=caps),
            )

    @contextmanager
    def draft(self, image: Image, terms: Terms) -> Iterator[RbdDraft]:
        """Begin a copy of `image`, or go on with an interrupted one."""
        what = f"copy image {image_id(image.id)} to pool {self._pool}"
        self._check(image)
        with self._cluster.doing(what, caps=self._writes), ExitStack() as leaving:
            leaving.callback(give_memory_back)
            self._check_unlisted(image)
            target = self._target(image, terms)
            lease = self._taken(target)
            finished = False
            leaving.callback(lambda: lease.leave(finished=finished))
            try:
                draft = begin(target, lease)
            except BaseException:
                # Not to remain for ever where nothing was begun.
                finished = not lease.noted()
                raise
            leaving.callback(_close, draft, lease)
            try:
                yield draft
            finally:
                finished = draft.finished

    def withdraw(self, image: Image) -> None:
        """Remove the copy that we published."""
        pool, name = self._pool, image_id(image.id)
        where = f"{pool}/{name}"
        with (
            self._cluster.doing(f"remove the copy {where}", caps=self._writes),
            suppress(librbd.ImageNotFound),
        ):
            self._check_unlisted(image)
            with self._cluster.image(pool, name, writable=True) as opened:
                self._check_withdrawn(opened, where)
                _imaging.drop_snapshot(opened)
            librbd.remove(self._cluster.pool(pool), name)

    def listed(self, image: Image) -> None:
        """Take our mark off: Glance lists the copy, and nobody takes it back."""
        pool, name = self._pool, image_id(image.id)
        what = f"take note that {pool}/{name} is listed"
        with self._cluster.doing(what, caps=self._writes):
            opened = self._cluster.pool(pool)
            _imaging.drop_metadata(opened, name, _marks.COPY)
            # Of a process that was killed after Glance had listed it.
            Lease(opened, name, self._librados).drop()

    def _check_withdrawn(self, opened: librbd.Opened, where: str) -> None:
        if not is_ours(opened):
            raise ConflictError(f"{where} is no copy that Cowpath made, and stays")
        check_closed(opened, where, {self._cluster.instance()})
        check_unneeded(opened, where)

    def _check(self, image: Image) -> None:
        """Accept an image that can be copied here.

        Raises:
            UnsuitableError: There is nothing to copy.
        """
        if not image.size:
            raise UnsuitableError(
                f"image {image.id} ({image.name}) has no bytes, so there is nothing to "
                f"copy: upload it again"
            )

    def _check_unlisted(self, image: Image) -> None:
        """Accept an image of which Glance lists nothing where its copy would be.

        Another Glance store may be in the same pool.

        Raises:
            ConflictError: It does.
        """
        ours = self._ours(image)
        listed = any(
            place is not None and place.pool == self._pool
            for place in map(ours, image.locations)
        )
        if listed or self._config.store in image.stores:
            raise ConflictError(
                f"Glance has image {image.id} ({image.name}) in store "
                f"{self._config.store} already, or in pool {self._pool} by another "
                f"store's name: what is there is neither replaced nor removed"
            )

    def _opened_lanes(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._lanes is None:
                self._lanes = ThreadPoolExecutor(
                    LANES, f"checksums of {self._config.store}"
                )
            return self._lanes

    def _taken(self, target: Target) -> Lease:
        """Return the lease of a draft, which nobody else has now."""
        name = image_id(target.image.id)
        lease = Lease(target.pool, name, self._librados)
        try:
            lease.take()
        except BusyError as error:
            raise BusyError(
                f"image {name} is being copied to pool {self._pool} by another process "
                f"({error})"
            ) from error
        return lease

    def _target(self, image: Image, terms: Terms) -> Target:
        return Target(
            image,
            terms,
            self._order,
            self._cluster,
            self._config.store,
            self._pool,
            self._cluster.pool(self._pool),
            self._cluster.instance(),
            self._cluster.fsid,
            self._librados,
            self._opened_lanes(),
            self._clear,
            self._writes,
        )

    def _clear(self, image: Image) -> None:
        """Move what has the image's name to the trash: our caller knows of none."""
        found = self._leftovers.find(image)
        if found is not None:
            self._leftovers.set_aside(found, lambda: None)

    def _place(self, image: Image) -> Place:
        """Return where the image is.

        Raises:
            UntrustedError: Glance shows it somewhere else.
        """
        shown = choose_location(image, self._config.store, self._ours(image))
        own = Place(self._cluster.fsid, self._pool, image_id(image.id), SNAPSHOT)
        return shown or own

    def _ours(self, image: Image) -> Callable[[Location], Place | None]:
        """Return what accepts a location that is exactly where Glance puts `image`."""
        fsid, config = self._cluster.fsid, self._config

        def accept(location: Location) -> Place | None:
            place = parse(location.url)
            if place is None or place.fsid != fsid or place.image != image.id:
                return None
            pools = (place.pool,) if config.any_images_pool else config.images_pools
            return place if place.pool in pools and place.snapshot == SNAPSHOT else None

        return accept

    @contextmanager
    def _seen(self, place: Place) -> Iterator[librbd.Opened]:
        try:
            with self._cluster.image(
                place.pool, place.image, snapshot=place.snapshot
            ) as opened:
                yield opened
        except librbd.ImageNotFound as error:
            raise NotFoundError(
                f"{place.pool}/{place.image}@{place.snapshot} is not there "
                f"({self._cluster.name}), though image {place.image} should be in "
                f"store {self._config.store}"
            ) from error

    @property
    def _writes(self) -> str:
        return f"mon 'profile rbd' osd 'profile rbd pool={self._pool}'"


def _close(draft: RbdDraft, lease: Lease) -> None:
    with lease.resting():
        draft.close()


def _reads(pool: str) -> str:
    return f"mon 'profile rbd' osd 'profile rbd-read-only pool={pool}'"
