"""The way that the specification describes: have Glance copy the image here.

`POST /v2/images/{id}/import` with method copy-image, then follow the copy by
`stores`, `os_glance_importing_to_stores`, `os_glance_failed_import` and what our own
store shows (specification, "Proposed change").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cowpath.core.errors import CopyBusyError, CowpathError
from cowpath.core.events import CopyAsked, Warned
from cowpath.core.model import (
    Base,
    CopyAnswer,
    Image,
    ImageId,
    Patience,
    StoreName,
)
from cowpath.core.ports import Catalog, Clock, Observer
from cowpath.provision.inflight import Inflight
from cowpath.provision.ways.following import Following, Means, Target

Flights = Inflight[tuple[ImageId, StoreName], Base]
"""The copies that one process follows."""


@dataclass(frozen=True, slots=True)
class AskGlance:
    """Asks Glance for copies and follows them; one follower per image and store.

    Implements `core.ports.Way` for this site's store, `core.ports.Placer` for all.

    Attributes:
        store: This site's.
        target: What can be seen of a store, this site's or another's.
    """

    store: StoreName
    target: Callable[[StoreName], Target]
    catalog: Catalog
    patience: Patience
    clock: Clock
    observer: Observer
    jitter: Callable[[], float] = lambda: 0.0
    inflight: Flights = field(default_factory=Flights)

    def bring(self, image: Image) -> Base:
        """Bring `image` into this site's store and return its base.

        Raises:
            CopyFailedError: Glance tried and failed, or dropped the copy silently.
            CopyStalledError: Bytes stopped arriving.
            CopyTimeoutError: Patience ran out; the copy may still complete.
            LeftoverError: What a broken copy left is in the way.
            ForbiddenError: Policy or quota refuses the copy.
            UntrustedError: Glance says done, but the base is not in our store.
        """
        outcome = self.place(image, (self.store,))[self.store]
        if isinstance(outcome, CowpathError):
            raise outcome
        return outcome

    def place(
        self, image: Image, stores: Sequence[StoreName]
    ) -> Mapping[StoreName, Base | CowpathError]:
        """Bring `image` into `stores`; return each one's base, or why there is none."""
        if not self.patience.timeout:
            self.observer.tell(
                Warned(
                    "images_rbd_glance_copy_timeout is 0, so a copy is followed "
                    "without limit"
                )
            )
        found = self.inflight.run(
            [(image.id, store) for store in stores],
            lambda keys: self._follow(image, [store for _, store in keys]),
        )
        return {store: outcome for (_, store), outcome in found.items()}

    def ask(self, image: Image, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask for copies in `stores` with one request and do not follow them."""
        for store in stores:
            self.target(store).check_ready(image)
        answer = self.catalog.copy(image.id, stores)
        if answer is CopyAnswer.BUSY:
            raise CopyBusyError(
                f"another import of image {image.id} ({image.name}) is running, and "
                f"Glance takes one at a time: nothing was asked for store "
                f"{', '.join(stores)}. Ask again later, or wait for both (without "
                f"--no-wait)"
            )
        if answer is CopyAnswer.ACCEPTED:
            for store in stores:
                self.observer.tell(CopyAsked(image, store))
        return answer

    def _follow(
        self, image: Image, stores: Sequence[StoreName]
    ) -> dict[tuple[ImageId, StoreName], Base | CowpathError]:
        following = Following(
            image,
            [self.target(store) for store in stores],
            Means(self.catalog, self.patience, self.clock, self.observer, self.jitter),
        )
        outcomes = following.to_the_end()
        return {(image.id, store): outcome for store, outcome in outcomes.items()}
