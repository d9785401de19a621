"""A store that is being copied to, as far as it came."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from cowpath.core.errors import CowpathError, UnavailableError
from cowpath.core.model import Bytes, Image, Location, StoreName
from cowpath.core.transfer import Draft, Extent, ImageStore, Terms
from cowpath.provision.copying.extents import Extents


class Target:
    """A draft in a store. Its failure is its own: other targets go on.

    Attributes:
        terms: Those of the source that it is copied from now.
        dirty: Bytes of an earlier try, or of another source, may be in the draft.
        read_back: What is written is read again, to be compared.
        wanted: What is to be written into it; None: everything.
        arrived: Bytes of the source that are known to be there.
        error: Why it failed; None: it did not.
        published: Where it is, once it has its own name.
        registered: Glance lists it.
    """

    def __init__(self, store: StoreName, place: ImageStore) -> None:
        self.store = store
        self._place = place
        self._leaving = ExitStack()
        self._lock = threading.Lock()
        self._draft: Draft | None = None
        self._seen = Bytes(0)
        self.terms = Terms()
        self.dirty = False
        self.read_back = False
        self.wanted: Extents | None = None
        self.arrived = 0
        self.error: CowpathError | None = None
        self.published: Location | None = None
        self.registered = False

    @property
    def draft(self) -> Draft:
        """Return the draft; only after `open`."""
        assert self._draft is not None, "a target is opened first"  # noqa: S101
        return self._draft

    @property
    def alive(self) -> bool:
        """Return whether there is anything left to do for it."""
        return self.error is None

    def open(self, image: Image, terms: Terms) -> None:
        """Begin the draft, or go on with one of this or of an earlier call."""
        self.terms = terms
        if self._draft is None:
            opening = self._place.draft(image, terms)
            self._draft = self._leaving.enter_context(opening)
            self.dirty = self._draft.resumed
        else:
            self.dirty = True
        self.wanted, self.arrived = None, 0

    def wants(self, extent: Extent) -> bool:
        """Tell whether `extent` is to be written."""
        return self.alive and (self.wanted is None or extent in self.wanted)

    def write(self, extent: Extent, data: bytes) -> None:
        """Put `data` into the draft."""
        with self.failing():
            self.draft.write(extent, data)
            self.arrive(extent.length)

    def arrive(self, length: int) -> None:
        """Take note of bytes that are there."""
        with self._lock:
            self.arrived += length

    def present(self) -> Bytes:
        """Return how many bytes the store shows; none where it does not answer."""
        if self._draft is None:
            return Bytes(0)
        try:
            self._seen = self._draft.present()
        except CowpathError:
            return Bytes(0)
        return self._seen

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Have what is raised inside be this target's failure, and nobody else's."""
        try:
            yield
        except CowpathError as error:
            self.fail(error)

    def fail(self, error: CowpathError) -> None:
        """Take note of why it failed; the first reason counts."""
        with self._lock:
            self.error = self.error or error

    def publish(self) -> None:
        """Give the draft its own name."""
        self.published = self.draft.publish()

    def listed(self, image: Image) -> None:
        """Have the store know that Glance lists the copy."""
        self._place.listed(image)

    def undo(self, image: Image) -> None:
        """Remove what we made of it: the draft, or the copy that nobody lists."""
        if self.registered:
            return
        if self.published:
            # Whoever asks whether somebody has it open is not to find ourselves.
            self.leave()
            self._place.withdraw(image)
            self.published = None
        elif self._draft is not None:
            self._draft.discard()

    def keep(self) -> None:
        """Have the draft stay for the next copy, and the error say so."""
        # Where it does not answer, it would not now either.
        if self.error and (self.arrived or self._seen or self.dirty):
            self.error = UnavailableError(
                f"{self.error}; what was copied to store {self.store} is kept there, "
                f"and the next copy of the image to it goes on with that"
            )

    def leave(self) -> CowpathError | None:
        """Let go of the draft; return what kept us from doing it properly.

        One without its own name stays for the next call.
        """
        self._draft = None
        try:
            self._leaving.close()
        except CowpathError as error:
            return error
        return None


class Targets:
    """The targets of one request.

    Attributes:
        all_or_none: Where one fails, nothing is left to do for the others.
    """

    def __init__(self, targets: Sequence[Target], *, all_or_none: bool) -> None:
        self._targets = tuple(targets)
        self.all_or_none = all_or_none

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets)

    @property
    def alive(self) -> list[Target]:
        """Return those for which there is anything left to do."""
        alive = [target for target in self._targets if target.alive]
        hopeless = self.all_or_none and len(alive) < len(self._targets)
        return [] if hopeless else alive

    @property
    def dead(self) -> list[Target]:
        """Return the others."""
        alive = self.alive
        return [target for target in self._targets if target not in alive]

    def is_kept(self, target: Target) -> bool:
        """Tell whether a draft stays: nothing but an unavailable store was wrong."""
        errors = [target.error] if target.error else [each.error for each in self]
        reasons = [error for error in errors if error]
        unavailable = all(isinstance(each, UnavailableError) for each in reasons)
        return not target.published and unavailable

    def fail(self, error: CowpathError) -> None:
        """Have all that are alive fail for the same reason."""
        for target in self._targets:
            target.fail(error)
