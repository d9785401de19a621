"""Whatever Glance does, and when: it ends in time, asks once and tells the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import event, given, settings
from hypothesis import strategies as st

from cowpath.core.errors import (
    ConflictError,
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    CredentialsError,
    LeftoverError,
    NotFoundError,
    UnavailableError,
    UnsuitableError,
)
from cowpath.core.events import CopyAsked, LookFailed
from cowpath.core.model import (
    Base,
    CopyAnswer,
    Image,
    ImageId,
    Patience,
)
from cowpath.testing.glance_scripts import (
    Fate,
    Pace,
    Stage,
    StagingDies,
    StoreBreaks,
    Stored,
    Trouble,
    Verb,
    WorkerDies,
)
from tests.flows.away import AwayStore
from tests.flows.world import EDGE, GIB, World

# Longer than any copy, and than all other sites' copies together, can take here.
PATIENCE = Patience(timeout=300, poll=15, queue=900, grace=30, peek=2)
LAST_ACTION = 200


@dataclass(frozen=True)
class Schedule:
    """What happens, and when.

    Attributes:
        fates: How copies end, by store; those after them succeed.
        others: Other sites' requests: when, and to which stores.
        troubles: Requests that fail: from when on.
        before: Seconds that all of this was under way before we come.
        lags: Whiles in which Glance answers with what it showed before: from when, for
            how long, and how many answers ago.
        away: Whiles in which our own store does not answer: from when, for how long.
    """

    pace: Pace
    fates: dict[str, list[Fate]]
    others: list[tuple[float, tuple[str, ...]]]
    troubles: list[tuple[float, Trouble]]
    old_failure: bool
    stuck_flag: bool
    before: float
    lags: list[tuple[float, float, int]]
    away: list[tuple[float, float]]

    def planned(self, kind: type[Fate], *stores: str) -> int:
        """Return how many copies to `stores`, or to any, are to end like that."""
        return sum(
            isinstance(fate, kind)
            for store, fates in self.fates.items()
            for fate in fates
            if not stores or store in stores
        )

    def lost_replies(self) -> int:
        """Return how many requests for a copy may have been taken unheard."""
        return sum(
            trouble.times
            for _, trouble in self.troubles
            if trouble.reply_lost and (not trouble.verbs or Verb.COPY in trouble.verbs)
        )


def seconds(longest: float) -> st.SearchStrategy[float]:
    return st.one_of(
        st.sampled_from([0.0, 0.1, 0.5, longest]), st.floats(0, longest, width=32)
    )


shares = st.floats(0, 1, width=16)
paces = st.builds(
    Pace,
    spawn=seconds(20),
    staging=seconds(60),
    storing=seconds(60),
    unlock=seconds(5),
)
fates: st.SearchStrategy[Fate] = st.one_of(
    st.just(Stored()),
    st.builds(StoreBreaks, shares, leftover=st.booleans()),
    st.builds(StagingDies, shares, flag_stays=st.booleans()),
)
deaths: st.SearchStrategy[Fate] = st.builds(
    WorkerDies, st.sampled_from([Stage.PENDING, Stage.STAGING, Stage.STORING]), shares
)
troubles = st.builds(
    Trouble,
    st.sampled_from([UnavailableError, CredentialsError]),
    st.sampled_from([frozenset(), frozenset({Verb.GET}), frozenset({Verb.COPY})]),
    times=st.integers(1, 4),
    reply_lost=st.booleans(),
)
moments = seconds(LAST_ACTION)


def schedules(
    ends: st.SearchStrategy[Fate], errors: st.SearchStrategy[Trouble] = troubles
) -> st.SearchStrategy[Schedule]:
    stores = st.sampled_from(["edge1", "edge2", "edge10"])
    requests = st.lists(stores, min_size=1, max_size=3, unique=True).map(tuple)
    return st.builds(
        Schedule,
        pace=paces,
        fates=st.dictionaries(stores, st.lists(ends, max_size=3), max_size=3),
        others=st.lists(st.tuples(moments, requests), max_size=3),
        troubles=st.lists(st.tuples(moments, errors), max_size=3),
        old_failure=st.booleans(),
        stuck_flag=st.booleans(),
        before=st.one_of(st.just(0.0), moments),
        lags=st.lists(st.tuples(moments, seconds(60), st.integers(1, 5)), max_size=2),
        away=st.lists(st.tuples(moments, seconds(40)), max_size=2),
    )


class Lagging:
    """A Glance whose database has replicas that lag: it shows what it showed before.

    At most for as long as `copy_grace`, after which a clock that was set back counts.
    """

    def __init__(self, world: World, lags: Sequence[tuple[float, float, int]]) -> None:
        self._world, self._lags = world, lags
        self._given: list[tuple[float, Image]] = []
        glance = world.glance
        self.find, self.images = glance.find, glance.images
        self.stores, self.copy = glance.stores, glance.copy

    def get(self, image: ImageId) -> Image:
        now = self._world.clock.now()
        self._given.append((now, self._world.glance.get(image)))
        for begin, length, back in self._lags:
            if begin <= now < begin + length:
                when, old = self._given[-min(back + 1, len(self._given))]
                if now - when < self._world.patience.grace - 1:
                    return old
        return self._given[-1][1]


class Run:
    """One schedule, played; and what came of it."""

    def __init__(
        self,
        schedule: Schedule,
        patience: Patience = PATIENCE,
        *,
        repair: bool = False,
        calls: int = 1,
    ) -> None:
        self.schedule = schedule
        self.world = World(patience=patience, pace=schedule.pace)
        self.world.repair = repair
        self.away: list[tuple[float, float]] = []
        self.world.stores[EDGE] = AwayStore(
            self.world, "find_base", "arrival", "leftover", whiles=self.away
        )
        self.image = self.world.glance.upload("debian")
        self.others = 0
        self.base: Base | None = None
        self.error: CowpathError | None = None
        self._prepare()
        catalog = Lagging(self.world, schedule.lags)
        way = self.world.ports(catalog=catalog).ways[0]
        self.began = self.world.clock.now()
        for _ in range(calls):
            try:
                self.base = way.bring(self.world.seen(self.image))
                break
            except CowpathError as error:
                self.error = error
                if isinstance(error, ConflictError):
                    # The operator does as he is told: one leftover is kept, no more.
                    self.world.edge.forget_aside(self.image.id)
        event("came" if self.base else type(self.error).__name__)

    @property
    def took(self) -> float:
        """How long it took, in made-up seconds."""
        return self.world.clock.now() - self.began

    @property
    def ours(self) -> int:
        """How many imports Glance accepted from us, heard or unheard."""
        return self.world.tasks() - self.others

    @property
    def unanswered(self) -> bool:
        """Whether it ended because Glance answered no more."""
        if isinstance(self.error, CopyTimeoutError):
            return "did not answer when last asked" in str(self.error)
        given_up = isinstance(self.error, UnavailableError | CredentialsError)
        return given_up and len(self.world.all(LookFailed)) >= 2

    @property
    def seen(self) -> Image:
        """The image as it is in the end."""
        return self.world.seen(self.image)

    def _prepare(self) -> None:
        glance, schedule = self.world.glance, self.schedule
        for store, ends in schedule.fates.items():
            glance.plan(store, *ends)
        flags = frozenset({EDGE}) if schedule.stuck_flag else frozenset()
        failed = frozenset({EDGE}) if schedule.old_failure else frozenset()
        glance.change(self.image.id, importing=flags, failed=failed)
        for when, stores in schedule.others:
            glance.at(when, partial(self._other, stores))
        # Before the first copy there was time enough to tell old answers from new.
        self.world.clock.sleep(max(2, schedule.before))
        now = self.world.clock.now()
        self.away.extend((now + begin, length) for begin, length in schedule.away)
        for when, trouble in schedule.troubles:
            glance.at(now + when, partial(glance.trouble, trouble))

    def _other(self, stores: Sequence[str]) -> None:
        answer = self.world.glance.copy_elsewhere(self.image.id, *stores)
        self.others += answer is CopyAnswer.ACCEPTED


def check_truth(run: Run) -> None:
    """Done means done, and a failure is one that Glance had."""
    schedule = run.schedule
    if run.base:
        assert EDGE in run.seen.stores
        assert run.world.edge.find_base(run.seen) == run.base
        assert run.base.size == run.image.size
        return
    # Who gets no answer cannot know; everybody else can.
    assert run.unanswered or EDGE not in run.seen.stores
    match run.error:
        case CopyFailedError() if "without a word" in str(run.error):
            assert schedule.planned(StagingDies) >= 2
        case CopyFailedError():
            assert schedule.planned(StoreBreaks, EDGE)
        case LeftoverError():
            assert any(
                isinstance(fate, StoreBreaks) and fate.leftover
                for fate in schedule.fates.get(EDGE, ())
            )
            assert run.world.edge.leftover(run.image)
        case CopyTimeoutError() | CopyStalledError():
            assert schedule.planned(WorkerDies)
        case UnavailableError() | CredentialsError():
            assert run.unanswered
        case _:
            raise AssertionError(run.error)


def check_economy(run: Run) -> None:
    """One request for one need; a second one only for what Glance dropped."""
    dropped = min(1, run.schedule.planned(StagingDies))
    assert run.ours <= 1 + dropped + run.schedule.lost_replies()
    assert len(run.world.all(CopyAsked)) <= 1 + dropped


def check_end(run: Run) -> None:
    """It ends; between a follow and the next there is a request of ours or theirs."""
    patience = run.world.patience
    follows = 2 + len(run.schedule.others)
    assert run.took <= follows * (patience.timeout + patience.queue) + patience.poll


@given(schedules(fates))
@settings(max_examples=3 * settings().max_examples)
def test_any_day_of_glance_ends_in_time_and_in_the_truth(schedule: Schedule) -> None:
    run = Run(schedule)
    check_truth(run)
    check_economy(run)
    check_end(run)


@given(schedules(st.one_of(fates, deaths)))
@settings(max_examples=2 * settings().max_examples)
def test_any_death_of_glance_s_workers_ends_in_time(schedule: Schedule) -> None:
    run = Run(schedule, Patience(timeout=90, queue=150, grace=30, peek=5))
    check_economy(run)
    check_end(run)
    assert run.unanswered or bool(run.base) == (EDGE in run.seen.stores)


@given(
    schedules(
        st.just(Stored()),
        st.builds(
            Trouble,
            st.sampled_from([UnavailableError, CredentialsError]),
            reply_lost=st.booleans(),
        ),
    )
)
def test_where_nothing_breaks_the_image_comes(schedule: Schedule) -> None:
    # At most two of the requests in a row fail: with three, nobody is there.
    run = Run(replace(schedule, troubles=schedule.troubles[:2], away=[]))
    assert run.error is None
    check_truth(run)
    assert run.ours <= 1


@given(schedules(deaths))
def test_where_locks_are_passed_and_leftovers_set_aside_it_comes_at_last(
    schedule: Schedule,
) -> None:
    """However often Glance is killed: every death is passed after an hour."""
    patience = Patience(timeout=0, queue=30_000, dead_lock=3600, stall=9000)
    quiet = replace(schedule, troubles=[], away=[], lags=[])
    run = Run(quiet, patience, repair=True, calls=8)
    assert run.base, run.error
    assert run.world.edge.find_base(run.seen) == run.base


@given(
    schedules(
        st.just(Stored()),
        st.builds(Trouble, st.just(UnavailableError), reply_lost=st.booleans()),
    ),
    st.integers(1, GIB),
)
def test_a_leftover_is_set_aside_whatever_hiccups(
    schedule: Schedule, present: int
) -> None:
    """In one call: a hiccup spends nothing."""

    class Blocked(Run):
        def _prepare(self) -> None:
            self.world.glance.leave_partial(self.image.id, EDGE, present)
            super()._prepare()

    some = replace(schedule, troubles=schedule.troubles[:2], away=schedule.away[:0])
    run = Blocked(some, repair=True)
    assert run.base, run.error
    assert run.ours <= 1 + some.lost_replies()


@given(
    schedules(st.just(Stored())),
    moments.map(lambda when: when + 0.1),
    st.sampled_from(["delete", "deactivate"]),
)
def test_an_image_that_goes_away_is_told_as_gone(
    schedule: Schedule, when: float, leave: str
) -> None:
    class Leaves(Run):
        def _prepare(self) -> None:
            super()._prepare()
            glance, image = self.world.glance, self.image.id
            at = self.world.clock.now() + when
            glance.at(at, lambda: getattr(glance, leave)(image))

    run = Leaves(replace(schedule, troubles=[], away=[], lags=[]))
    if run.base:
        return
    told = NotFoundError if leave == "delete" else UnsuitableError | CopyFailedError
    assert isinstance(run.error, told), run.error
    assert run.took <= when + 2 * PATIENCE.steady + PATIENCE.queue
