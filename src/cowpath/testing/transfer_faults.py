"""Image stores that fail, die or are watched at a chosen step."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from cowpath.core.model import Bytes, Image, Location
from cowpath.core.transfer import Draft, Extent, ImageStore, Original, Terms

Step = Callable[[str], None]
"""Is told of every step before it is done, and of its end (`"… done"`); may raise."""


class KilledError(BaseException):
    """What no handler of errors catches: the process is gone from here on."""


class Countdown:
    """A step that raises at the `left`-th call, and ever after.

    Attributes:
        steps: What was called, in order.
    """

    def __init__(self, left: int, error: BaseException) -> None:
        self._left = left
        self._error = error
        self._lock = threading.Lock()
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        """Count `step`."""
        with self._lock:
            self.steps.append(step)
            if len(self.steps) >= self._left:
                raise self._error


class StepStore:
    """An `ImageStore` of which every step is told."""

    def __init__(self, store: ImageStore, step: Step) -> None:
        self._store = store
        self._step = step

    @contextmanager
    def original(self, image: Image, terms: Terms) -> Iterator[Original]:
        """Open the image."""
        self._step("original")
        with self._store.original(image, terms) as original:
            yield StepOriginal(original, self._step)

    @contextmanager
    def draft(self, image: Image, terms: Terms) -> Iterator[Draft]:
        """Begin or go on with a draft."""
        self._step("draft")
        with self._store.draft(image, terms) as draft:
            self._step("draft done")
            yield StepDraft(draft, self._step)

    def listed(self, image: Image) -> None:
        """Take our mark off."""
        self._step("listed")
        self._store.listed(image)

    def withdraw(self, image: Image) -> None:
        """Remove the copy."""
        self._step("withdraw")
        self._store.withdraw(image)


class StepOriginal:
    """An `Original` of which every step is told."""

    def __init__(self, inner: Original, step: Step) -> None:
        self.inner = inner
        self._step = step

    @property
    def size(self) -> Bytes:
        """Return how large it is."""
        return self.inner.size

    @property
    def where(self) -> str:
        """Return its name."""
        return self.inner.where

    def extents(self) -> Iterator[Extent]:
        """Yield what may hold data."""
        self._step("extents")
        return self.inner.extents()

    def read(self, extent: Extent) -> bytes:
        """Return bytes."""
        self._step("read")
        return self.inner.read(extent)

    def unchanged(self) -> None:
        """Accept that it is what was opened."""
        self._step("unchanged")
        self.inner.unchanged()


class StepDraft(StepOriginal):
    """A `Draft` of which every step is told."""

    def __init__(self, inner: Draft, step: Step) -> None:
        super().__init__(inner, step)
        self._draft = inner

    @property
    def resumed(self) -> bool:
        """Return whether an earlier try left bytes here."""
        return self._draft.resumed

    def present(self) -> Bytes:
        """Return how much is there."""
        return self._draft.present()

    def take(self, original: Original) -> bool:
        """Copy by the store's own means."""
        self._step("take")
        taken = self._draft.take(_plain(original))
        self._step("take done")
        return taken

    def write(self, extent: Extent, data: bytes) -> None:
        """Put bytes."""
        self._step("write")
        self._draft.write(extent, data)
        self._step("write done")

    def differing(
        self, original: Original, extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        """Compare by checksums."""
        self._step("differing")
        return self._draft.differing(_plain(original), extents)

    def publish(self) -> Location:
        """Give it its name."""
        self._step("publish")
        location = self._draft.publish()
        self._step("publish done")
        return location

    def discard(self) -> None:
        """Remove it."""
        self._step("discard")
        self._draft.discard()


def _plain(original: Original) -> Original:
    """Return what a store knows as its own, or as another's."""
    return original.inner if isinstance(original, StepOriginal) else original
