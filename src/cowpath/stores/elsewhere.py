"""Another site's store, of which only Glance's word is known."""

from cowpath.core.model import Arrival, Base, Image, StoreName


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
