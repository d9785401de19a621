"""The way that the specification describes: have Glance copy the image here.

`POST /v2/images/{id}/import` with method copy-image, then follow the copy by
`stores`, `os_glance_importing_to_stores`, `os_glance_failed_import` and what our own
store shows (specification, "Proposed change").
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cowpath.core.copy_watch import Ask, CopyWatch, Done, Join, Look, Stop
from cowpath.core.errors import CredentialsError, UnavailableError
from cowpath.core.events import (
    CopyAsked,
    CopyFinished,
    CopyJoined,
    CopyProgress,
    LookFailed,
    Warned,
)
from cowpath.core.model import (
    Arrival,
    Base,
    CopyAnswer,
    Image,
    ImageId,
    Patience,
    StoreName,
)
from cowpath.core.ports import Bases, Catalog, Clock, Observer
from cowpath.provision.inflight import Inflight

# While a copy runs these are no answers (rule 6): Glance restarts, tokens expire.
_TRANSIENT = (UnavailableError, CredentialsError)


@dataclass(frozen=True, slots=True)
class AskGlance:
    """Asks Glance for a copy and follows it; one follower per image in a process."""

    store: StoreName
    catalog: Catalog
    bases: Bases
    patience: Patience
    clock: Clock
    observer: Observer
    jitter: Callable[[], float] = lambda: 0.0
    inflight: Inflight[Base] = field(default_factory=Inflight)

    def bring(self, image: Image) -> Base:
        """Bring `image` into the store and return its base.

        Raises:
            CopyFailedError: Glance tried and failed, or dropped the copy silently.
            CopyTimeoutError: Patience ran out; the copy may still complete.
            ForbiddenError: Policy or quota refuses the copy.
            UntrustedError: Glance says done, but the base is not in our store.
        """
        key = (image.id, self.store)
        return self.inflight.run(key, lambda: self._follow(image))

    def _follow(self, image: Image) -> Base:
        if not self.patience.timeout:
            self.observer.tell(
                Warned(
                    "images_rbd_glance_copy_timeout is 0, so a copy is followed "
                    "without limit"
                )
            )
        watch = CopyWatch(
            self.store,
            self.patience,
            self.clock.now(),
            territory=self.bases.territory,
            jitter=self.jitter,
        )
        seen: Image | None = image
        while True:
            if seen is not None:
                base = self._step(watch, seen)
                if base is not None:
                    return base
            self._until_look(watch, image)
            seen = self._get(watch, image.id)

    def _step(self, watch: CopyWatch, image: Image) -> Base | None:
        try:
            base = self.bases.find_base(image) if image.is_in(self.store) else None
        except UnavailableError as error:
            # Our own store hiccups: no answer either, whatever Glance said.
            self._missed(watch, image.id, error)
            return None
        match watch.look(image, base, self.clock.now()):
            case Done(found):
                elapsed = watch.elapsed(self.clock.now())
                self.observer.tell(CopyFinished(image.id, self.store, elapsed))
                return found
            case Ask():
                self._ask(watch, image)
            case Join():
                self.observer.tell(CopyJoined(image, self.store))
            case Stop(reason):
                raise reason
            case _:
                pass
        return None

    def _ask(self, watch: CopyWatch, image: Image) -> None:
        try:
            answer = ask_for_copy(image, self.store, self.catalog, self.observer)
        except _TRANSIENT as error:
            # The request may have been accepted: the next look tells.
            self._missed(watch, image.id, error)
        else:
            watch.answered(answer, self.clock.now())

    def _get(self, watch: CopyWatch, image: ImageId) -> Image | None:
        try:
            return self.catalog.get(image)
        except _TRANSIENT as error:
            self._missed(watch, image, error)
            return None

    def _missed(
        self,
        watch: CopyWatch,
        image: ImageId,
        error: UnavailableError | CredentialsError,
    ) -> None:
        stop = watch.missed(error, self.clock.now())
        if stop is not None:
            raise stop.error from error
        self.observer.tell(LookFailed(image, error, watch.misses))

    def _arrival(self, watch: CopyWatch, image: Image) -> Arrival | None:
        try:
            return self.bases.arrival(image)
        except UnavailableError as error:
            # A copy takes minutes; an OSD that is away for one must not end it.
            self.observer.tell(LookFailed(image.id, error, 1))
            return Arrival(watch.present)

    def _until_look(self, watch: CopyWatch, image: Image) -> None:
        while True:
            arrival = self._arrival(watch, image)
            now = self.clock.now()
            step = watch.peek(arrival, now)
            self.observer.tell(
                CopyProgress(
                    image.id,
                    self.store,
                    watch.phase,
                    watch.present,
                    image.size,
                    watch.elapsed(now),
                )
            )
            if isinstance(step, Look):
                return
            self.clock.sleep(step.seconds)


def ask_for_copy(
    image: Image, store: StoreName, catalog: Catalog, observer: Observer
) -> CopyAnswer:
    """Ask Glance for a copy, tell of it if it was accepted, and do not follow it.

    Raises:
        ForbiddenError: Policy or quota refuses the copy.
        NotFoundError: Glance has no such store.
    """
    answer = catalog.copy(image.id, store)
    if answer is CopyAnswer.ACCEPTED:
        observer.tell(CopyAsked(image, store))
    return answer
