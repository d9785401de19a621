"""Glance, looked up when first asked: what needs no Glance needs no credentials."""

import threading
from collections.abc import Callable, Mapping

from cowpath.catalog.transport import Reply, Transport


class WhenAsked:
    """A Transport that makes the real one for the first request."""

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Transport | None = None

    @property
    def endpoint(self) -> str:
        """Return where requests go, for messages."""
        return self._real().endpoint

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        """Send one request and return its reply, whatever its status."""
        return self._real().request(method, path, json)

    def _real(self) -> Transport:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
