"""What the transfer suite needs behind an image store's back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha512

from cowpath.core.model import Arrival, Bytes, Image, ImageId, Location, StoreName
from cowpath.core.transfer import ImageStore


class ImageStoreDoors(ABC):
    """A Glance store, and doors to it that do not lead through the adapter.

    The doors use the storage's own tools (`rbd`, the operating system), so that a
    wrong adapter cannot vouch for itself.

    Attributes:
        store: The adapter on trial.
        name: The Glance store that it is.
    """

    store: ImageStore
    name: StoreName

    @abstractmethod
    def another(self) -> ImageStore:
        """Return a second adapter on the same storage, as another process has."""

    @abstractmethod
    def put(self, image: ImageId, data: bytes) -> None:
        """Write a whole image as Glance does."""

    @abstractmethod
    def put_leftover(self, image: ImageId, data: bytes) -> None:
        """Have what a broken copy of Glance's leaves under the image's own name."""

    @abstractmethod
    def remove(self, image: ImageId) -> None:
        """Delete an image as Glance does."""

    @abstractmethod
    def content(self, image: ImageId) -> bytes | None:
        """Return the bytes that Glance and its users find; None where they do not."""

    @abstractmethod
    def taken(self, image: ImageId) -> int:
        """Return how many bytes a whole image takes in the store."""

    @abstractmethod
    def names(self) -> set[str]:
        """Return the names of all that lies in the store, as the storage has them.

        Not what was set aside, and nothing that is there in an empty store too once
        it was used, such as our own directory.
        """

    @abstractmethod
    def kept(self, image: ImageId) -> int:
        """Return how many leftovers of `image` were set aside and can be restored."""

    @abstractmethod
    def forget_kept(self, image: ImageId) -> None:
        """Remove the leftovers of `image` that were set aside, as an operator does."""

    @abstractmethod
    def scribble(self, image: ImageId, offset: int, data: bytes) -> None:
        """Write into the draft of `image`; no other is there."""

    @abstractmethod
    def clone(self, image: ImageId) -> Callable[[], None]:
        """Have a disk lie on the whole image; return what removes the disk again."""

    @abstractmethod
    def location(self, image: ImageId) -> Location:
        """Return what Glance shows of an image that is whole here."""

    @abstractmethod
    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        """Return URLs that must not be followed for `image`, by what is wrong."""

    @abstractmethod
    def arrival(self, image: Image) -> Arrival | None:
        """Return what the store of the site's compute hosts shows of a copy."""

    @abstractmethod
    def fill_up(self) -> None:
        """Leave no room. Called in `tight` storage only; may skip the test."""

    def image(
        self, image: ImageId, data: bytes, *stores: StoreName, shown: bool = False
    ) -> Image:
        """Return what Glance says of an image; with our location if `shown`."""
        return Image(
            image,
            "suite",
            size=Bytes(len(data)),
            stores=frozenset(stores),
            locations=(self.location(image),) if shown else (),
            hash=f"sha512:{sha512(data).hexdigest()}",
        )
