"""Events as log records, for services that have a log."""

import logging

from cowpath.core.events import (
    CopyFailed,
    CopyProgress,
    Event,
    LeftoverSetAside,
    LookFailed,
    Warned,
)
from cowpath.observers.words import sentence


class LogObserver:
    """Writes every event to a logger: progress as debug, trouble as warning."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def tell(self, event: Event) -> None:
        """Log `event`."""
        match event:
            case CopyProgress():
                level = logging.DEBUG
            case CopyFailed() | LookFailed() | Warned() | LeftoverSetAside():
                level = logging.WARNING
            case _:
                level = logging.INFO
        self._logger.log(level, "%s", sentence(event))
