"""Remembers which copies are being followed, for whoever has to stop following them."""

from cowpath.core.events import (
    CopyAsked,
    CopyFailed,
    CopyFinished,
    CopyJoined,
    Event,
)
from cowpath.core.model import Image, ImageId, StoreName


class RunningCopies:
    """Knows the copies that were asked for or joined and have not finished."""

    def __init__(self) -> None:
        self._running: dict[tuple[ImageId, StoreName], Image] = {}

    def tell(self, event: Event) -> None:
        """Take note of a copy's begin and end."""
        match event:
            case CopyAsked(image, store) | CopyJoined(image, store):
                self._running[image.id, store] = image
            case CopyFinished(ident, store) | CopyFailed(ident, store):
                self._running.pop((ident, store), None)
            case _:
                pass

    def by_image(self) -> list[tuple[Image, list[StoreName]]]:
        """Return each image that is being copied, with the stores it goes to."""
        found: dict[ImageId, tuple[Image, list[StoreName]]] = {}
        for (ident, store), image in self._running.items():
            found.setdefault(ident, (image, []))[1].append(store)
        return list(found.values())
