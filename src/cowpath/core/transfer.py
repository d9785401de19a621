"""Moving an image's bytes from one store to another: its nouns and its ports."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cowpath.core.model import Bytes, Image, Location

_CHUNK = Bytes(4 * 1024**2)


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of an image that lie together."""

    offset: Bytes
    length: Bytes

    @property
    def end(self) -> Bytes:
        """The offset of the first byte behind it."""
        return Bytes(self.offset + self.length)


class Verify(StrEnum):
    """What is proved of a copy before anybody can see it."""

    IMAGE = "image"
    """Its bytes, holes included, have the hash that Glance has of the image."""
    TRANSFER = "transfer"
    """Its bytes are those of the source."""
    NONE = "none"
    """Nothing beyond what the store itself checks."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How one store's image is copied to another.

    Attributes:
        bandwidth: Bytes per second at most; None: as fast as it goes.
        lanes: Requests at once.
        chunk: Bytes of one request at most. `lanes * chunk` bounds the memory.
    """

    verify: Verify = Verify.IMAGE
    bandwidth: Bytes | None = None
    lanes: int = 16
    chunk: Bytes = _CHUNK


class Original(Protocol):
    """An image's bytes in a store, open for reading. Safe to share between threads.

    Any method may raise `UnavailableError` or `NotFoundError`: it is gone by now.
    """

    @property
    def size(self) -> Bytes:
        """Return how large it is, holes included."""
        ...

    @property
    def where(self) -> str:
        """Return how the store names it, for messages."""
        ...

    def extents(self) -> Iterator[Extent]:
        """Yield what may hold data, in order and apart; all else reads as zeros.

        An extent is at most the chunk of the terms that it was opened with.
        """
        ...

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of `extent`, all of them."""
        ...

    def unchanged(self) -> None:
        """Accept that it is still what was opened; asked after the last read.

        In some stores what was removed meanwhile reads as zeros.

        Raises:
            NotFoundError: It was removed, replaced or written to since.
        """
        ...


class Draft(Original, Protocol):
    """An image in the making: marked as ours, under a name where nobody looks for it.

    Attributes:
        resumed: Bytes of an earlier try may be there already.
    """

    @property
    def resumed(self) -> bool:
        """Return whether an earlier try left bytes here."""
        ...

    def unchanged(self) -> None:
        """Accept that it is still ours, and that its store answers.

        What we write is no change.

        Raises:
            UnavailableError: The store does not answer; told at once where it did not
                before.
            BusyError: Somebody else may be at it by now.
            NotFoundError: It was removed.
        """
        ...

    def present(self) -> Bytes:
        """Return how many bytes have arrived; cheap, and safe while `take` runs."""
        ...

    def take(self, original: Original) -> bool:
        """Copy all of `original` into a fresh draft by the store's own means.

        That is at full speed. False where it cannot, and after `UnavailableError`: then
        it is copied by `read` and `write`, over whatever was done.

        Raises:
            NoSpaceError: The store is full.
        """
        ...

    def write(self, extent: Extent, data: bytes) -> None:
        """Put `data` at `extent`; runs of zeros need not take room.

        What lay there before is gone, also where `data` is zeros.

        Raises:
            NoSpaceError: The store is full.
        """
        ...

    def differing(
        self, original: Original, extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        """Yield those of `extents` that are not as in `original`, by checksums.

        In their order. The stores make the checksums; no bytes travel. None where they
        cannot, whatever the extents: then it is told by reading both. Asked before
        anything is written, a fresh draft is laid out like `original` where they need
        that.
        Safe while other extents are written.
        """
        ...

    def publish(self) -> Location:
        """Give it the name by which Glance and its users find it; all or nothing.

        What was written is on stable storage before. It is a clone source then. It
        bears our mark, by which `draft` and `withdraw` know it.

        Raises:
            ConflictError: Something of that name is there and is no leftover.
        """
        ...

    def discard(self) -> None:
        """Remove it; absent is fine. Not once it was published."""
        ...


class ImageStore(Protocol):
    """A store as a copy's source or target."""

    def original(self, image: Image, terms: Terms) -> AbstractContextManager[Original]:
        """Open the image that this store has.

        Raises:
            NotFoundError: It has none, or not of that size.
            UntrustedError: Glance shows a location that leads elsewhere.
        """
        ...

    def draft(self, image: Image, terms: Terms) -> AbstractContextManager[Draft]:
        """Begin a copy, or go on with an interrupted one; nobody else can meanwhile.

        Left without `publish` or `discard` it stays, for the next call to go on with.
        So does a copy of ours that Glance does not list: it is a draft again.

        Raises:
            ConflictError: The store has the image, and it is no leftover; or one of
                the image's locations is where it would be published: two stores are
                in one place.
            BusyError: Somebody else is at it.
            NoSpaceError: There is no room for it.
        """
        ...

    def listed(self, image: Image) -> None:
        """Take our mark off the copy that we published, for Glance lists it now.

        From here on no call of `draft` or `withdraw` takes it for ours. Absent is
        fine, and so is what bears no mark.
        """
        ...

    def withdraw(self, image: Image) -> None:
        """Remove the copy that we published, because Glance does not take it.

        Only what bears our mark, has no clones, and that nobody has open; absent is
        fine.

        Raises:
            ConflictError: Glance lists it, as `image` shows, or it is not ours.
            BusyError: Somebody has it open.
        """
        ...
