"""What every service of the lab can do, whichever kind it belongs to."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from lab.processes import Process, send


class State(StrEnum):
    """How a service is doing."""

    UP = "up"
    PAUSED = "paused"
    DOWN = "down"


class Service(Protocol):
    """A daemon, or a few that belong together."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def address(self) -> str:
        """Where it listens."""

    @property
    def log(self) -> Path:
        """What it writes about itself."""

    def processes(self) -> list[Process]:
        """Return its processes, parents first; none when it is down."""

    def answers(self) -> bool:
        """Tell whether a client would get an answer."""

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make what it needs and start it; return when it answers.

        A running one is started again only where its configuration would change.

        Args:
            settings: SECTION.KEY=VALUE each, for this start only.

        Raises:
            LabError: It cannot be made or started; the message says why.
        """

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""

    def clear(self) -> None:
        """Stop it and all that it started."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that `up` makes: ready at once where it is there already."""

    name: str
    make: Callable[[], None]


def state(service: Service) -> State:
    """Return how a service is doing."""
    processes = service.processes()
    if any(process.stopped for process in processes):
        return State.PAUSED
    return State.UP if processes and service.answers() else State.DOWN


def ensure(service: Service, settings: Sequence[str] = ()) -> None:
    """Have a service running, whatever became of it since it was started.

    Args:
        service: Which one.
        settings: SECTION.KEY=VALUE each, where it has to be started.
    """
    now = state(service)
    if now is State.PAUSED:
        signal_all(service, signal.SIGCONT)
        now = state(service)
    if now is State.DOWN:
        service.start(settings)


def signal_all(service: Service, number: signal.Signals) -> None:
    """Send a signal to all processes of a service at once."""
    send(service.processes(), number)
