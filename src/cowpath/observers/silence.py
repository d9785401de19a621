"""An observer for callers who want none."""

from cowpath.core.events import Event


class Silence:
    """Takes note of nothing."""

    def tell(self, event: Event) -> None:
        """Ignore `event`."""
