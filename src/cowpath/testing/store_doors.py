"""What a store suite needs behind the adapter's back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from cowpath.core.model import (
    Bytes,
    Disk,
    DiskName,
    Image,
    ImageId,
    Location,
    StoreName,
)
from cowpath.core.ports import Store


class StoreDoors(ABC):
    """A site's store, and doors to it that do not lead through the adapter.

    The doors use the storage's own tools (`qemu-img`, `rbd`), so that a wrong
    adapter cannot vouch for itself.

    Attributes:
        store: The adapter on trial.
        name: The Glance store that it is.
    """

    store: Store
    name: StoreName

    @abstractmethod
    def another(self) -> Store:
        """Return a second adapter on the same storage, as another process has."""

    @abstractmethod
    def put(self, image: ImageId, data: bytes, present: int | None = None) -> None:
        """Write an image as Glance does; only its first `present` bytes so far."""

    @abstractmethod
    def remove(self, image: ImageId) -> None:
        """Delete an image from this store as Glance does."""

    @abstractmethod
    def put_leftover(self, image: ImageId, size: int) -> None:
        """Have what a broken copy leaves: `size` bytes, and no sign of the whole."""

    @abstractmethod
    def put_refused(self, image: ImageId, size: int) -> None:
        """Have all `size` bytes there, and what marks a whole image, unlisted."""

    @abstractmethod
    def kept(self, image: ImageId) -> int:
        """Return how many leftovers of `image` lie aside and can be restored.

        Looked up where the store keeps such things, by the storage's own means.
        """

    @abstractmethod
    def restore(self, said: str) -> None:
        """Do what the answer of `set_aside` says restores the leftover."""

    @abstractmethod
    def forget_kept(self, image: ImageId) -> None:
        """Remove the leftovers of `image` that lie aside, as an operator does."""

    @abstractmethod
    def location(self, image: ImageId) -> Location:
        """Return what Glance shows of an image that is whole here."""

    @abstractmethod
    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        """Return URLs that must not be followed for `image`, by what is wrong.

        Args:
            image: Is whole here.
            other: Another image that is whole here.
        """

    @abstractmethod
    def read(self, disk: Disk) -> bytes:
        """Return all that a guest would read; the disk may be open."""

    @abstractmethod
    def write(self, disk: Disk, offset: int, data: bytes) -> None:
        """Write as a guest would."""

    @abstractmethod
    def held(self, disk: Disk) -> AbstractContextManager[None]:
        """Have the disk open for writing, as a running guest does."""

    @abstractmethod
    def copy(self, disk: Disk, name: DiskName) -> None:
        """Copy the disk by the storage's own means, with all that it carries."""

    @abstractmethod
    def everything(self) -> object:
        """Return the storage's raw state, comparable with ==."""

    @abstractmethod
    def fill_up(self) -> None:
        """Leave no room. Called in `tight` storage only; may skip the test."""

    def settles(self, condition: Callable[[], bool]) -> bool:
        """Tell whether it is so once the storage's figures are up to date."""
        return condition()

    def image(self, image: ImageId, size: int | None, *, shown: bool = True) -> Image:
        """Return what Glance says of an image; with its location if `shown`."""
        places = (self.location(image),) if shown else ()
        stores = frozenset({self.name})
        whole = None if size is None else Bytes(size)
        return Image(image, "suite", size=whole, stores=stores, locations=places)
