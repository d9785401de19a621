"""Glance in memory, on a Clock: a Catalog with the real service's habits.

It passes the same suite as the adapter that talks to a real Glance. Scripts
(`Pace`, `Fate`, `Trouble`, `Rules`) choose among its good and bad days. Nothing happens
between calls but what time brings, so every run is the same.

    glance = GlanceSimulator(FakeClock(), stores=("central", "edge1"))
    image = glance.upload("debian", size=2**30)
    glance.plan("edge1", StoreBreaks(at=0.5), Stored())
    glance.at(7, lambda: glance.delete(image.id))
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from cowpath.core.errors import (
    AmbiguousError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnsuitableError,
    UsageError,
)
from cowpath.core.model import Bytes, CopyAnswer, Image, ImageId, Seconds, StoreName
from cowpath.core.ports import Catalog, Clock
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_agenda import Agenda
from cowpath.testing.glance_imports import Imports
from cowpath.testing.glance_records import RESERVED, Locate, Record, Shelves, Sink
from cowpath.testing.glance_scripts import Fate, Pace, Request, Rules, Trouble, Verb

ADMIN = "admin"
_CREATED = "2026-01-01T00:00:00Z"


class GlanceSimulator:
    """A Glance with several stores, asked by an administrator; thread-safe."""

    def __init__(
        self,
        clock: Clock,
        *,
        stores: Sequence[str] = ("central", "edge1", "edge2", "edge10"),
        pace: Pace | None = None,
        sink: Sink | None = None,
        locate: Locate | None = None,
    ) -> None:
        """Start with no image.

        Args:
            clock: Copies progress by it; a FakeClock also makes bytes arrive while
                somebody sleeps.
            stores: The default store first.
            pace: How long copies take.
            sink: Is told of arriving bytes; must not call back.
            locate: Makes the URL of an image in a store; None hides locations.
        """
        self.requests: list[Request] = []
        self._clock = clock
        self._stores = tuple(StoreName(store) for store in stores)
        self._records: dict[ImageId, Record] = {}
        self._troubles: deque[Trouble] = deque()
        self._agenda = Agenda(clock.now())
        self._shelves = Shelves(sink, locate)
        self._imports = Imports(self._agenda, self._shelves)
        self._imports.pace = pace or Pace()
        self._lock = threading.RLock()
        if isinstance(clock, FakeClock):
            clock.watch(self.advance)

    # What Catalog promises, as an administrator sees it.

    def get(self, image: ImageId) -> Image:
        """Return the image as it is now."""
        return self.serve_get(ADMIN, image)

    def find(self, ref: str) -> Image:
        """Return the one image whose id or name is `ref`."""
        return self.serve_find(ADMIN, ref)

    def images(self) -> Iterator[Image]:
        """Yield every image."""
        return iter(self.serve_images(ADMIN))

    def stores(self) -> tuple[StoreName, ...]:
        """Return the store ids, the default first."""
        with self._serving(Verb.STORES):
            return self._stores

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask for copies in `stores`."""
        return self.serve_copy(ADMIN, image, stores)

    # What only a test can do.

    @property
    def pace(self) -> Pace:
        """How long the steps of copies take from now on."""
        return self._imports.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._imports.pace = pace

    @property
    def rules(self) -> Rules:
        """What this Glance allows from now on."""
        return self._imports.rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._imports.rules = rules

    def member(self, project: str = "member") -> Catalog:
        """Return the catalog as a project without special roles sees it."""
        return _Member(self, project)

    def add(self, image: Image, *, owner: str = ADMIN) -> Image:
        """Publish `image` as it is; a lock in it belongs to a task that does nothing.

        Its bytes are in its stores at once. Its `idle`, where it has one, tells for
        how long nothing has changed it, and its lock's task has given no sign.
        """
        with self._entered():
            here = sorted(image.stores)
            places = image.locations or self._shelves.located(image.id, *here)
            touched = self._agenda.now - (image.idle or 0)
            record = Record(replace(image, locations=places), owner, touched)
            self._records[image.id] = record
            self._imports.adopt_lock(record)
            for store in here:
                self._shelves.show(image, store, image.size or 0)
            return record.shown(self._agenda.now)

    def upload(
        self,
        name: str,
        *,
        size: int = 2**30,
        store: str | None = None,
        owner: str = ADMIN,
        visibility: str = "public",
    ) -> Image:
        """Publish a new raw image in `store`, the default one unless named."""
        with self._entered():
            ident = self._new_id()
            image = Image(
                ident,
                name,
                size=Bytes(size),
                stores=frozenset({StoreName(store) if store else self._stores[0]}),
                hash=f"sha512:{ident.replace('-', '') * 4}",
                visibility=visibility,
                created=_CREATED,
            )
            return self.add(image, owner=owner)

    def announce(self, name: str) -> Image:
        """Publish an image without data."""
        with self._entered():
            return self.add(
                Image(
                    self._new_id(),
                    name,
                    status="queued",
                    visibility="public",
                    created=_CREATED,
                )
            )

    def plan(self, store: str, *fates: Fate) -> None:
        """Let the next accepted copies to `store` end like this, one by one."""
        with self._lock:
            self._imports.plan(StoreName(store), fates)

    def trouble(self, trouble: Trouble) -> None:
        """Let the next requests fail; troubles come in the order they were named."""
        with self._lock:
            self._troubles.extend([replace(trouble, times=1)] * trouble.times)

    def at(self, when: Seconds, action: Callable[[], object]) -> None:
        """Do `action` at the clock's time `when`, in the thread that gets there."""
        with self._lock:
            self._agenda.at(when, action)

    def copy_elsewhere(
        self, image: ImageId, *stores: str, all_must_succeed: bool = False
    ) -> CopyAnswer:
        """Let somebody else ask for copies in `stores` with one request.

        Args:
            image: Which.
            stores: Where to; Glance breaks where one is named twice.
            all_must_succeed: Glance's default, which we never ask for.
        """
        wanted = [StoreName(store) for store in stores]
        with self._entered():
            return self._ask(ADMIN, image, wanted, all_must_succeed=all_must_succeed)

    def change(self, image: ImageId, **facts: Any) -> None:
        """Set facts of the image, as its owner does.

        Where a step of a copy is under way, Glance saves what it loaded before, and
        the change is lost when the step ends; a new status makes the step fail.
        """
        with self._entered():
            self._records[image].save(self._agenda.now, **facts)

    def deactivate(self, image: ImageId) -> None:
        """Deactivate the image; a running step of a copy of it fails at its end."""
        self.change(image, status="deactivated")

    def delete(self, image: ImageId) -> None:
        """Delete the image; bytes that are being stored become an orphan."""
        with self._entered():
            record = self._records[image]
            record.deleted, record.staged = True, False
            for store in sorted(record.image.stores):
                self._shelves.show(record.image, store, None)

    def leave_partial(self, image: ImageId, store: str, present: int) -> None:
        """Let a broken copy of long ago have left what blocks later ones.

        Args:
            image: Of which.
            store: Where.
            present: Bytes; with none of them an empty thing is there, and blocks too.
        """
        with self._entered():
            record = self._records[image]
            record.lying.add(StoreName(store))
            self._shelves.show(record.image, StoreName(store), present)

    def remove_leftover(self, image: ImageId, store: str) -> None:
        """Remove what blocks copies to `store`."""
        with self._entered():
            record = self._records[image]
            record.lying.discard(StoreName(store))
            self._shelves.show(record.image, StoreName(store), None)

    def busy(self, image: ImageId) -> bool:
        """Tell whether a living copy of the image runs."""
        with self._entered():
            return self._imports.busy(image)

    def count(self, verb: Verb) -> int:
        """Return how many such requests were made."""
        return sum(request.verb is verb for request in self.requests)

    def advance(self) -> None:
        """Let everything happen that is due by the clock."""
        with self._entered():
            pass

    # The service behind both catalogs.

    def serve_get(self, who: str, image: ImageId) -> Image:
        """Answer a request for an image."""
        with self._serving(Verb.GET, image):
            return self._visible(who, image).shown(self._agenda.now)

    def serve_find(self, who: str, ref: str) -> Image:
        """Answer a request for an image by id or name."""
        with self._serving(Verb.FIND, ref):
            got = self._shown(who, _may_get)
            found = [image for image in got if image.id == ref]
            listed = self._shown(who, _is_listed)
            found = found or [image for image in listed if ref and image.name == ref]
            if not found:
                raise NotFoundError(f"no image has the id or name {ref!r}")
            if len(found) > 1:
                ids = ", ".join(sorted(image.id for image in found))
                raise AmbiguousError(f"{len(found)} images are named {ref!r}: {ids}")
            return found[0]

    def serve_images(self, who: str) -> list[Image]:
        """Answer a request for all images."""
        with self._serving(Verb.IMAGES):
            return self._shown(who, _is_listed)

    def serve_copy(
        self, who: str, image: ImageId, stores: Sequence[StoreName]
    ) -> CopyAnswer:
        """Answer a request for copies; who asks names each store once."""
        wanted = tuple(dict.fromkeys(stores))
        if not wanted:
            raise UsageError(f"no store is named that image {image} is to be copied to")
        with self._serving(Verb.COPY, image, wanted):
            return self._ask(who, image, wanted)

    def _new_id(self) -> ImageId:
        return ImageId(f"00000000-0000-4000-8000-{self._agenda.number():012x}")

    @contextmanager
    def _entered(self) -> Iterator[None]:
        with self._lock:
            if self._agenda.advance(self._clock.now()):
                self._imports.show_progress()
            yield

    @contextmanager
    def _serving(
        self, verb: Verb, subject: str = "", stores: tuple[StoreName, ...] = ()
    ) -> Iterator[None]:
        with self._entered():
            request = Request(verb, self._agenda.now, subject, stores)
            self.requests.append(request)
            trouble = self._next_trouble(verb)
            if trouble and not trouble.reply_lost:
                raise trouble.error(f"planned trouble with {request}")
            yield
            if trouble:
                raise trouble.error(f"planned loss of the reply to {request}")

    def _next_trouble(self, verb: Verb) -> Trouble | None:
        for trouble in self._troubles:
            if not trouble.verbs or verb in trouble.verbs:
                self._troubles.remove(trouble)
                return trouble
        return None

    def _shown(self, who: str, shows: Callable[[str, Record], bool]) -> list[Image]:
        return [
            record.shown(self._agenda.now)
            for record in self._records.values()
            if not record.deleted and shows(who, record)
        ]

    def _visible(self, who: str, image: ImageId) -> Record:
        record = self._records.get(image)
        if record is None or record.deleted or not _may_get(who, record):
            raise NotFoundError(f"Glance has no image {image}, or it is not ours")
        return record

    def _ask(
        self,
        who: str,
        image: ImageId,
        stores: Sequence[StoreName],
        *,
        all_must_succeed: bool = False,
    ) -> CopyAnswer:
        # Glance's own order of checks.
        record = self._permitted(who, image)
        robbed = None
        if record.image.lock:
            if self._imports.lock_holds(record):
                return CopyAnswer.BUSY
            robbed = self._imports.bust_lock(record)
        for store in stores:
            if store not in (*self._stores, *RESERVED):
                raise NotFoundError(
                    f"Glance has no store {store} for image {image}; it has "
                    f"{', '.join(self._stores)}"
                )
        if record.image.stores.intersection(stores):
            return CopyAnswer.PRESENT
        self._imports.accept(
            record, stores, robbed=robbed, all_must_succeed=all_must_succeed
        )
        return CopyAnswer.ACCEPTED

    def _permitted(self, who: str, image: ImageId) -> Record:
        if not self.rules.copy_enabled:
            raise UnsuitableError(
                "Glance's import method copy-image is switched off: add it to "
                "enabled_import_methods"
            )
        if not self.rules.quota_left:
            raise QuotaError(f"a quota of Glance refuses the copy of image {image}")
        record = self._visible(who, image)
        if record.image.status != "active":
            raise UnsuitableError(f"image {image} is {record.image.status}, not active")
        if self.rules.admins_only and who != ADMIN:
            raise ForbiddenError(f"Glance's policy copy_image forbids copying {image}")
        return record


@dataclass(frozen=True, slots=True)
class _Member:
    """The catalog of a project without special roles."""

    glance: GlanceSimulator
    project: str

    def get(self, image: ImageId) -> Image:
        return self.glance.serve_get(self.project, image)

    def find(self, ref: str) -> Image:
        return self.glance.serve_find(self.project, ref)

    def images(self) -> Iterator[Image]:
        return iter(self.glance.serve_images(self.project))

    def stores(self) -> tuple[StoreName, ...]:
        return self.glance.stores()

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        return self.glance.serve_copy(self.project, image, stores)


def _may_get(who: str, record: Record) -> bool:
    ours = who in {ADMIN, record.owner}
    return ours or record.image.visibility in {"public", "community"}


def _is_listed(who: str, record: Record) -> bool:
    """Tell whether lists and names show the image, as Glance does unless asked."""
    if record.image.visibility == "community":
        # Even an administrator does not see those of others. Seen on 2026-11-22.
        return who == record.owner
    return _may_get(who, record)
