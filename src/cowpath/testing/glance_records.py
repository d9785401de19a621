"""What a simulated Glance and its stores keep of images."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cowpath.core.model import Bytes, Image, ImageId, Location, Seconds, StoreName

STAGING_STORE = StoreName("os_glance_staging_store")
TASKS_STORE = StoreName("os_glance_tasks_store")
RESERVED = (STAGING_STORE, TASKS_STORE)
"""Stores that Glance lists nowhere and yet takes copies to."""

Sink = Callable[[ImageId, StoreName, Bytes | None], None]
"""Is told how many bytes of an image a store holds, each time that changes.

0 is an empty file, or an RBD image without objects, which is there before the first
byte; None is nothing at all.
"""

Locate = Callable[[ImageId, StoreName], str]
"""Makes the URL of an image in a store."""


@dataclass(slots=True)
class Record:
    """An image, and what lies of it where Glance does not list it.

    Attributes:
        touched: When Glance last saved it.
        staged: It lies whole in the staging space: the next copy need not stage it.
        lying: Stores with something that the image does not list, even if it is empty:
            Glance writes nothing where something lies.
    """

    image: Image
    owner: str
    touched: Seconds = 0.0
    deleted: bool = False
    staged: bool = False
    lying: set[StoreName] = field(default_factory=set)

    def set(self, **facts: Any) -> None:
        """Change facts of the image."""
        self.image = replace(self.image, **facts)

    def save(self, now: Seconds, **facts: Any) -> None:
        """Change facts as Glance's own saving does, which shows as `updated_at`."""
        self.set(**facts)
        self.touched = now

    def shown(self, now: Seconds) -> Image:
        """Return the image as it is given out; times of the API have no fractions."""
        saved = math.floor(self.touched)
        return replace(
            self.image,
            updated=datetime.fromtimestamp(saved, UTC).isoformat(),
            idle=float(max(0, math.floor(now) - saved)),
        )


class Shelves:
    """What the stores hold, as others are told of it."""

    def __init__(self, sink: Sink | None, locate: Locate | None) -> None:
        """Begin with empty stores.

        Args:
            sink: Is told of arriving bytes.
            locate: None hides locations.
        """
        self._sink = sink
        self._locate = locate
        self._shown: dict[tuple[ImageId, StoreName], int | None] = {}

    def show(self, image: Image, store: StoreName, present: int | None) -> None:
        """Tell the sink what `store` holds of the image; None is nothing at all."""
        where = (image.id, store)
        if self._sink and store not in RESERVED and self._shown.get(where) != present:
            self._shown[where] = present
            self._sink(image.id, store, None if present is None else Bytes(present))

    def located(self, image: ImageId, *stores: StoreName) -> tuple[Location, ...]:
        """Return the image's locations in `stores`, unless they are hidden."""
        if not self._locate:
            return ()
        return tuple(
            Location(self._locate(image, store), store)
            for store in stores
            if store not in RESERVED
        )
