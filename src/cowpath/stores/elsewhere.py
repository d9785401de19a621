"""Another site's store, of which only Glance's word is known."""

from collections.abc import Callable

from cowpath.core.errors import ForbiddenError
from cowpath.core.model import Arrival, Base, Image, Leftover, StoreName


class ElsewhereBases:
    """Implements `core.ports.Bases` for a store that cannot be read from here."""

    def __init__(self, store: StoreName) -> None:
        self._store = store

    @property
    def territory(self) -> str:
        """Return the store's name; nothing of it can be read."""
        return f"store {self._store} (another site's, seen through Glance only)"

    def find_base(self, image: Image) -> Base | None:
        """Return a base once Glance lists `image` in the store."""
        if self._store not in image.stores or not image.size:
            return None
        return Base(image=image.id, where=f"store {self._store}", size=image.size)

    def arrival(self, image: Image) -> Arrival | None:  # noqa: ARG002 - the port's
        """Return None: what arrives there cannot be seen from here."""
        return None

    def leftover(self, image: Image) -> Leftover | None:  # noqa: ARG002 - the port's
        """Return None: what lies there cannot be seen from here."""
        return None

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:  # noqa: ARG002 - the port's
        """Refuse: nothing there can be moved from here.

        Raises:
            ForbiddenError: Always.
        """
        raise ForbiddenError(
            f"{leftover.where}, left of image {leftover.image}, is in store "
            f"{self._store}, which is another site's and cannot be reached from here: "
            f"place the image from that site (cowpath image place {leftover.image})"
        )
