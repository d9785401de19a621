"""Follow the copies of one image to several stores, until each has an outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cowpath.core.copy_steps import (
    Ask,
    Done,
    Join,
    Look,
    Pause,
    SetAside,
    Stop,
)
from cowpath.core.copy_watch import CopyWatch
from cowpath.core.copy_words import (
    CopyWords,
    left_behind,
    scant_room,
    unknown_store,
    with_evidence,
)
from cowpath.core.errors import (
    BusyError,
    CopyBusyError,
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    CredentialsError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.events import (
    CopyAsked,
    CopyFailed,
    CopyFinished,
    CopyJoined,
    CopyProgress,
    LeftoverSetAside,
    LookFailed,
    Phase,
    Warned,
)
from cowpath.core.model import (
    Base,
    Bytes,
    CopyAnswer,
    Image,
    Leftover,
    Patience,
    Seconds,
    StoreName,
)
from cowpath.core.ports import Bases, Catalog, Clock, Observer, Pool
from cowpath.core.rules import check_room

# While a copy runs these are no answers (rule 6): Glance restarts, tokens expire.
_TRANSIENT = (UnavailableError, CredentialsError)

# For these Glance tells no reason; what our own store shows may be one.
_UNEXPLAINED = (CopyFailedError, CopyStalledError, CopyTimeoutError)


@dataclass(frozen=True, slots=True)
class Target:
    """A store that is to have an image, and what can be seen of it from here.

    Attributes:
        bases: The clone sources in it.
        pool: Its room; None where only Glance sees the store.
        min_free: Bytes that a copy must leave free; None: any number.
        repair: Leftovers in it may be set aside.
    """

    store: StoreName
    bases: Bases
    pool: Pool | None = None
    min_free: Bytes | None = None
    repair: bool = False

    def check_room(self, image: Image) -> None:
        """Accept a copy that has room, and leaves `min_free`.

        Raises:
            NoSpaceError: It has none, or would leave less.
            UnavailableError: The store does not say how much it has, and must.
        """
        if self.pool is None:
            return
        try:
            intake = self.pool.intake()
        except UnavailableError:
            # Such as a cluster whose manager has never reported.
            if self.min_free is None:
                return
            raise
        check_room(image, self.store, intake, self.min_free)

    def check_ready(self, image: Image) -> None:
        """Accept a store that a copy can come to, for one that nobody will follow.

        Raises:
            NoSpaceError: It would leave too little room.
            LeftoverError: What a broken copy left is in the way.
        """
        self.check_room(image)
        lying = None if image.lock else self.bases.leftover(image)
        if lying is not None:
            raise CopyWords(image, self.store, lying.present).leftover(lying)


@dataclass(frozen=True, slots=True)
class Means:
    """What following takes, beside the stores."""

    catalog: Catalog
    patience: Patience
    clock: Clock
    observer: Observer
    jitter: Callable[[], float] = lambda: 0.0


@dataclass(slots=True)
class _Leg:
    """One store on the way: its watch, and how it ended."""

    target: Target
    watch: CopyWatch
    outcome: Base | CowpathError | None = None
    alone: bool = False
    blind: UnavailableError | None = None
    silences: int = 0
    news: bool = True

    @property
    def store(self) -> StoreName:
        return self.target.store

    @property
    def seen(self) -> bool:
        """Whether what arrives in the store can be seen from here."""
        return self.target.pool is not None

    @property
    def phase(self) -> Phase:
        blind = self.watch.phase is Phase.STAGING and not self.seen
        return Phase.COPYING if blind else self.watch.phase


class Following:
    """One image on its way to some stores: one look and one request for all of them."""

    def __init__(self, image: Image, targets: Sequence[Target], means: Means) -> None:
        """Begin to follow now."""
        self._image = image
        self._catalog = means.catalog
        self._clock = means.clock
        self._observer = means.observer
        self._legs = [_leg(target, means) for target in targets]
        self._names_known = False

    def to_the_end(self) -> dict[StoreName, Base | CowpathError]:
        """Return each store's base, or why it has none."""
        seen: Image | None = self._image
        while True:
            if seen is not None:
                self._decide(seen)
            if not self._open():
                break
            self._until_look()
            seen = self._get()
        return {leg.store: leg.outcome for leg in self._legs if leg.outcome is not None}

    def _open(self) -> list[_Leg]:
        return [leg for leg in self._legs if leg.outcome is None]

    def _decide(self, image: Image) -> None:
        self._image = image
        asking = [leg for leg in self._open() if self._step(leg, image)]
        together = [leg for leg in asking if not leg.alone]
        alone = [[leg] for leg in asking if leg.alone]
        for legs in ([together] if together else []) + alone:
            self._ask(legs, image)
        if any(leg.watch.queued for leg in self._open()):
            self._check_names()

    def _check_names(self) -> None:
        """Tell of a store that Glance does not have before we wait to ask for it.

        Glance itself looks at the lock first, and at the store's name after that.
        """
        if self._names_known:
            return
        try:
            known = self._catalog.stores()
        except CowpathError:
            return  # it was to spare a wait, no more
        self._names_known = True
        for leg in self._open():
            if leg.store not in known:
                self._fail(leg, unknown_store(self._image, leg.store, known))

    def _step(self, leg: _Leg, image: Image) -> bool:
        """Do what the watch says; tell whether a copy is to be asked for."""
        leg.news = True
        try:
            base = leg.target.bases.find_base(image) if image.is_in(leg.store) else None
            step = leg.watch.look(image, base, self._clock.now())
            match step:
                case Done(found):
                    self._finish(leg, found)
                case Ask(warning):
                    return self._may_ask(leg, image, warning)
                case Join():
                    self._observer.tell(CopyJoined(image, leg.store))
                case Stop(reason):
                    self._stop(leg, reason)
                case _:
                    pass
        except UnavailableError as error:
            # Our own store hiccups: no answer either, whatever Glance said.
            self._missed([leg], error, here=True)
        except CowpathError as error:
            self._fail(leg, error)
        return False

    def _may_ask(self, leg: _Leg, image: Image, warning: str) -> bool:
        leg.target.check_room(image)
        lying = leg.target.bases.leftover(image)
        verdict = leg.watch.lies(lying, self._clock.now())
        if isinstance(verdict, SetAside) and self._is_set_aside(leg, verdict.leftover):
            verdict = leg.watch.lies(None, self._clock.now())
        match verdict:
            case Stop(reason):
                self._stop(leg, reason)
            case Ask():
                if warning:
                    self._observer.tell(Warned(warning))
                return True
            case _:
                pass
        return False

    def _is_set_aside(self, leg: _Leg, leftover: Leftover) -> bool:
        """Move a leftover away; tell whether it is, or is to be looked at again."""

        def confirm() -> None:
            now = self._catalog.get(self._image.id)
            if now.lock or leg.store in now.stores:
                raise CopyBusyError(
                    f"{leftover.where} is left alone: Glance is at image {now.id} "
                    f"({now.name}) again: try again when that import is over"
                )

        try:
            kept = leg.target.bases.set_aside(leftover, confirm)
        except (*_TRANSIENT, NotFoundError, BusyError, CopyBusyError) as error:
            # Another Cowpath was first or is at it, or an import has just begun: the
            # next look tells, and it may be tried again.
            self._observer.tell(LookFailed(self._image.id, error, 1))
            stop = leg.watch.not_set_aside(error, self._clock.now())
            if stop is not None:
                self._stop(leg, stop.error)
            return False
        leg.watch.set_aside()
        self._observer.tell(LeftoverSetAside(leftover, kept))
        return True

    def _ask(self, legs: Sequence[_Leg], image: Image) -> None:
        stores = tuple(leg.store for leg in legs)
        try:
            answer = self._catalog.copy(image.id, stores)
        except _TRANSIENT as error:
            # The request may have been accepted: the next look tells.
            self._missed(legs, error)
        except CowpathError as error:
            self._refused(legs, error)
        else:
            self._answered(legs, image, answer)

    def _answered(self, legs: Sequence[_Leg], image: Image, answer: CopyAnswer) -> None:
        for leg in legs:
            if answer is CopyAnswer.PRESENT and len(legs) > 1:
                # One of them has it, and nothing was asked for the others.
                leg.alone = True
                continue
            leg.watch.answered(answer, self._clock.now())
            if answer is CopyAnswer.ACCEPTED:
                self._observer.tell(CopyAsked(image, leg.store))

    def _refused(self, legs: Sequence[_Leg], error: CowpathError) -> None:
        if isinstance(error, NotFoundError) and len(legs) > 1:
            # One unknown store makes Glance refuse all: each is asked on its own.
            for leg in legs:
                leg.alone = True
            return
        for leg in legs:
            self._fail(leg, error)

    def _get(self) -> Image | None:
        try:
            return self._catalog.get(self._image.id)
        except _TRANSIENT as error:
            self._missed(self._open(), error)
        except NotFoundError as error:
            for leg in self._open():
                words = CopyWords(self._image, leg.store, leg.watch.present)
                self._fail(leg, words.gone(error), error)
        except CowpathError as error:
            for leg in self._open():
                self._fail(leg, error)
        return None

    def _missed(
        self,
        legs: Sequence[_Leg],
        error: UnavailableError | CredentialsError,
        *,
        here: bool = False,
    ) -> None:
        times = 0
        for leg in legs:
            told = leg.watch.lost if here else leg.watch.missed
            stop = told(error, self._clock.now())
            times = max(times, leg.watch.misses)
            if stop is not None:
                self._stop(leg, stop.error, error)
        if any(leg.outcome is None for leg in legs):
            self._observer.tell(LookFailed(self._image.id, error, times))

    def _finish(self, leg: _Leg, base: Base) -> None:
        elapsed = leg.watch.elapsed(self._clock.now())
        self._observer.tell(CopyFinished(self._image.id, leg.store, elapsed))
        leg.outcome = base

    def _stop(
        self, leg: _Leg, reason: CowpathError, cause: CowpathError | None = None
    ) -> None:
        if isinstance(reason, _UNEXPLAINED):
            reason = with_evidence(reason, self._evidence(leg, reason))
        self._fail(leg, reason, cause)

    def _fail(
        self, leg: _Leg, error: CowpathError, cause: CowpathError | None = None
    ) -> None:
        if cause is not None and error is not cause:
            error.__cause__ = cause
        leg.outcome = error
        self._observer.tell(CopyFailed(self._image.id, leg.store, error))

    def _evidence(self, leg: _Leg, reason: CowpathError) -> tuple[str, ...]:
        """Return what our own store shows that may explain a failure."""
        if leg.blind is not None:
            return (str(leg.blind),)
        if leg.target.pool is None:
            return ()
        try:
            intake = leg.target.pool.intake()
            lying = leg.target.bases.leftover(self._image)
        except CowpathError as error:
            return (str(error),)
        told = (*intake.ailments, *scant_room(self._image, intake))
        # Only Glance's word of just now makes a leftover of what lies there.
        failed = isinstance(reason, CopyFailedError) and not leg.watch.misses
        if lying is None or not failed or self._image.is_being_copied_to(leg.store):
            return told
        return (*told, left_behind(lying))

    def _until_look(self) -> None:
        while True:
            steps = [self._peek(leg) for leg in self._open()]
            pauses = [step.seconds for step in steps if isinstance(step, Pause)]
            if any(isinstance(step, Look) for step in steps):
                return
            self._clock.sleep(min(pauses))

    def _peek(self, leg: _Leg) -> Pause | Look:
        try:
            arrival = leg.target.bases.arrival(self._image)
        except UnavailableError as error:
            # A copy takes minutes; an OSD that is away for one must not end it.
            self._blinded(leg, error)
            now = self._clock.now()
            step = leg.watch.blind(now)
        except CowpathError as error:
            self._fail(leg, error)
            return Look()
        else:
            leg.blind, leg.silences = None, 0
            now = self._clock.now()
            step = leg.watch.peek(arrival, now)
        self._tell(leg, now)
        return step

    def _blinded(self, leg: _Leg, error: UnavailableError) -> None:
        """Note that our own store does not answer; tell once between two looks."""
        leg.blind, leg.silences = error, leg.silences + 1
        if leg.news:
            self._observer.tell(LookFailed(self._image.id, error, leg.silences))
        leg.news = False

    def _tell(self, leg: _Leg, now: Seconds) -> None:
        watch = leg.watch
        self._observer.tell(
            CopyProgress(
                self._image.id,
                leg.store,
                leg.phase,
                watch.present,
                self._image.size,
                watch.elapsed(now),
                watch.rate(now),
                watch.left(now),
                watch.behind,
            )
        )
        warning = watch.warning(now)
        if warning and leg.seen:
            self._observer.tell(Warned(warning))


def _leg(target: Target, means: Means) -> _Leg:
    watch = CopyWatch(
        target.store,
        means.patience,
        means.clock.now(),
        territory=lambda: target.bases.territory,
        repair=target.repair,
        jitter=means.jitter,
    )
    return _Leg(target, watch)
