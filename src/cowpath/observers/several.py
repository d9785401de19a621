"""One observer that is several."""

from cowpath.core.events import Event
from cowpath.core.ports import Observer


class Several:
    """Tells every observer, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def tell(self, event: Event) -> None:
        """Pass `event` on."""
        for observer in self._observers:
            observer.tell(event)
