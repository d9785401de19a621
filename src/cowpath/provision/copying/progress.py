"""Telling how far a copy is, once in a second."""

from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

from cowpath.core.errors import CowpathError
from cowpath.core.events import CopyProgress, Event, Phase, Warned
from cowpath.core.model import Bytes, Image, Seconds
from cowpath.core.ports import Clock, Observer
from cowpath.core.transfer_rules import Rate
from cowpath.provision.copying.targets import Target, Targets

Result = TypeVar("Result")

_BEAT: Seconds = 1
_PEEK: Seconds = 0.25
"""How long a future is waited for before the clock is looked at again."""


class Stopped(Exception):  # noqa: N818  # no failure of source or target
    """The observer wants no more of it.

    Attributes:
        error: Why.
    """

    def __init__(self, error: CowpathError) -> None:
        super().__init__(str(error))
        self.error = error


class Progress:
    """Tells of the targets that are alive, and waits without falling silent.

    Attributes:
        total: Bytes to come; None while that is not known.
        taking: The store copies by its own means, so it is asked how far it is.
    """

    def __init__(
        self, image: Image, targets: Targets, clock: Clock, observer: Observer
    ) -> None:
        self._image = image
        self._targets = targets
        self._clock = clock
        self._observer = observer
        self._begun = self._told = clock.now()
        self._rates = {target.store: Rate() for target in targets}
        self._phase = Phase.STORING
        self.total: Bytes | None = None
        self.taking = False

    @property
    def elapsed(self) -> Seconds:
        """Return how long the copy takes already."""
        return self._clock.now() - self._begun

    def enter(self, phase: Phase) -> None:
        """Tell of another phase with the next beat."""
        self._phase = phase

    def beat(self) -> None:
        """Tell how far it is, if a second has passed.

        Where all have failed and requests of theirs still run, of one that failed: who
        listens knows that we live, and may stop us.
        """
        now = self._clock.now()
        if now - self._told >= _BEAT:
            self._told = now
            for target in self._targets.alive or tuple(self._targets)[:1]:
                self._beat(self._seen(target, now))

    def tell(self, event: Event) -> None:
        """Tell of what has happened; then it is too late to stop it."""
        with suppress(CowpathError):
            self._observer.tell(event)

    def warn(self, text: str) -> None:
        """Tell of something that does not stop the copy."""
        self.tell(Warned(text))

    def now(self) -> Seconds:
        """Return the clock's time."""
        return self._clock.now()

    def wait(self, future: Future[Result]) -> Result:
        """Return what comes of `future`."""
        self.settle(future)
        self.beat()
        return future.result()

    def settle(self, future: Future[Result]) -> None:
        """Wait until `future` is done, whatever comes of it."""
        while not future.done():
            wait((future,), timeout=_PEEK)
            self.beat()

    def sleep(self, seconds: Seconds) -> None:
        """Wait so long."""
        until = self._clock.now() + seconds
        while (left := until - self._clock.now()) > 0:
            self._clock.sleep(min(left, _BEAT))
            self.beat()

    def _beat(self, event: CopyProgress) -> None:
        """Tell the observer, who may stop the copy by an error of ours."""
        try:
            self._observer.tell(event)
        except CowpathError as error:
            raise Stopped(error) from error

    def _seen(self, target: Target, now: Seconds) -> CopyProgress:
        storing = self._phase is Phase.STORING
        asked = self.taking and target.alive
        present = target.present() if asked else Bytes(target.arrived)
        if self.total is not None:
            present = min(present, self.total) if storing else self.total
        rate = self._rates[target.store].saw(present, now) if storing else None
        left = (self.total - present) / rate if rate and self.total else None
        return CopyProgress(
            self._image.id,
            target.store,
            self._phase,
            present,
            self.total,
            self.elapsed,
            rate,
            left,
        )
