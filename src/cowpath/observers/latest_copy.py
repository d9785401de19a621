"""Remembers which copy is being followed, for whoever has to stop following it."""

from cowpath.core.events import CopyAsked, CopyFinished, CopyJoined, Event
from cowpath.core.model import Image, StoreName


class LatestCopy:
    """Knows the copy that was asked for or joined and has not finished."""

    def __init__(self) -> None:
        self.running: tuple[Image, StoreName] | None = None

    def tell(self, event: Event) -> None:
        """Take note of a copy's begin and end."""
        match event:
            case CopyAsked(image, store) | CopyJoined(image, store):
                self.running = (image, store)
            case CopyFinished():
                self.running = None
            case _:
                pass
