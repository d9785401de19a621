"""One observer that is several."""

import threading

from cowpath.core.events import Event
from cowpath.core.ports import Observer


class Several:
    """Tells every observer, in order, of one event at a time."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        # Several copies are followed at once, from several threads.
        self._one_at_a_time = threading.Lock()

    def tell(self, event: Event) -> None:
        """Pass `event` on."""
        with self._one_at_a_time:
            for observer in self._observers:
                observer.tell(event)
