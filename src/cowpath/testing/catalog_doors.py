"""What a catalog suite needs behind the adapter's back."""

from abc import ABC, abstractmethod

from cowpath.core.model import ImageId, StoreName
from cowpath.core.ports import Catalog, Clock

SMALL = 2**20
"""Bytes of an image whose copy may end at any time."""

LARGE = 2**27
"""Bytes of an image whose copy outlasts the next few requests."""


class CatalogDoors(ABC):
    """An image service, and doors to it that do not lead through the adapter.

    Attributes:
        catalog: The adapter on trial, as an administrator.
        member: The same as a user of another project without special roles.
        clock: The clock by which copies go on.
        default_store: Where uploads go.
        edge: Another store.
        similar: A third store, whose name begins like `edge`'s.
        loses_tasks: It takes its lock before it saves the task: who asks in between
            takes that for one that was forgotten, and one of two accepted tasks fails.
    """

    catalog: Catalog
    member: Catalog
    clock: Clock
    default_store = StoreName("central")
    edge = StoreName("edge1")
    similar = StoreName("edge10")
    loses_tasks = False

    @abstractmethod
    def upload(
        self, name: str, *, size: int = SMALL, visibility: str = "public"
    ) -> ImageId:
        """Make an active raw image of the administrator's in the default store."""

    @abstractmethod
    def announce(self, name: str) -> ImageId:
        """Make an image without data."""

    @abstractmethod
    def delete(self, image: ImageId) -> None:
        """Delete an image."""

    @abstractmethod
    def deactivate(self, image: ImageId) -> None:
        """Deactivate an image."""

    @abstractmethod
    def leave_partial(self, image: ImageId, store: StoreName) -> None:
        """Leave a partial image in a store, as a broken copy does."""

    @abstractmethod
    def remove_partial(self, image: ImageId, store: StoreName) -> None:
        """Remove it."""

    @abstractmethod
    def requests_about(self, image: ImageId) -> int:
        """Return how many requests that named the image were answered so far."""
