"""The simulated Glance has the real one's habits, good and bad."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.errors import (
    CowpathError,
    CredentialsError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
)
from cowpath.core.model import Bytes, CopyAnswer, Image, ImageId, StoreName
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_scripts import (
    Fate,
    Pace,
    Rules,
    Stage,
    StagingDies,
    StoreBreaks,
    Stored,
    Trouble,
    Verb,
    WorkerDies,
)
from cowpath.testing.glance_simulator import GlanceSimulator

CENTRAL, EDGE, EDGE2 = map(StoreName, ("central", "edge1", "edge2"))
PACE = Pace(spawn=1, staging=4, storing=10, unlock=1)
SIZE = 1000


class Scene:
    """A simulated Glance with one image, and what its stores were seen to hold."""

    def __init__(self, *fates: Fate) -> None:
        self.clock = FakeClock()
        self.arrived: dict[tuple[ImageId, StoreName], list[Bytes]] = {}
        self.glance = GlanceSimulator(self.clock, pace=PACE, sink=self._sink)
        self.image = self.glance.upload("debian", size=SIZE).id
        self.glance.plan(EDGE, *fates)

    def copy(self, store: StoreName = EDGE) -> CopyAnswer:
        return self.glance.copy(self.image, store)

    def after(self, seconds: float) -> Image:
        self.clock.sleep(seconds)
        return self.glance.get(self.image)

    def arrivals(self, store: StoreName = EDGE) -> list[Bytes]:
        return self.arrived.get((self.image, store), [])

    def _sink(self, image: ImageId, store: StoreName, present: Bytes) -> None:
        self.arrived.setdefault((image, store), []).append(present)


def test_the_course_of_a_copy() -> None:
    scene = Scene()
    scene.glance.change(scene.image, failed=frozenset({EDGE, EDGE2}))
    assert scene.copy() is CopyAnswer.ACCEPTED
    accepted = scene.glance.get(scene.image)
    assert (accepted.lock, accepted.importing) == ("task-2", _in())
    assert accepted.failed == _in(EDGE, EDGE2)
    begun = scene.after(1)
    assert (begun.importing, begun.failed) == (_in(EDGE), _in(EDGE2))
    assert scene.after(3) == begun
    assert scene.arrivals() == []
    assert scene.after(6) == begun
    stored = scene.after(5)
    assert (stored.stores, stored.importing) == (_in(CENTRAL, EDGE), _in())
    assert stored.lock
    assert scene.after(1).lock is None
    assert scene.arrivals() == [500, 1000]
    assert not scene.glance.busy(scene.image)


def test_a_long_sleep_misses_nothing() -> None:
    scene = Scene()
    scene.copy()
    after = scene.after(1000)
    assert (after.stores, after.lock) == (_in(CENTRAL, EDGE), None)
    assert scene.arrivals() == [1000]


def test_bytes_arrive_while_somebody_sleeps() -> None:
    scene = Scene()
    scene.copy()
    for _ in range(15):
        scene.clock.sleep(1)
    assert scene.arrivals() == [*range(0, 1001, 100)]


def test_a_broken_store_is_listed_and_emptied() -> None:
    scene = Scene(StoreBreaks(at=0.5), Stored())
    scene.copy()
    broken = scene.after(10)
    assert (broken.failed, broken.importing) == (_in(EDGE), _in())
    assert scene.arrivals()[-1] == 0
    assert scene.after(1).lock is None
    scene.copy()
    assert EDGE in scene.after(16).stores


def test_a_leftover_blocks_until_it_is_removed() -> None:
    scene = Scene(StoreBreaks(at=0.5, leftover=True))
    for _ in range(3):
        assert scene.copy() is CopyAnswer.ACCEPTED
        assert scene.after(16).failed == _in(EDGE)
    assert scene.arrivals() == [500]
    scene.glance.remove_leftover(scene.image, EDGE)
    scene.copy()
    assert EDGE in scene.after(16).stores


@pytest.mark.parametrize("stays", [True, False])
def test_staging_may_die_in_silence(*, stays: bool) -> None:
    scene = Scene(StagingDies(at=0.5, flag_stays=stays))
    scene.copy()
    assert scene.after(2).lock
    dead = scene.after(1)
    assert (dead.lock, dead.failed, dead.stores) == (None, _in(), _in(CENTRAL))
    assert dead.importing == (_in(EDGE) if stays else _in())
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_a_killed_worker_leaves_everything_for_an_hour() -> None:
    scene = Scene(WorkerDies(Stage.STORING, at=0.25))
    scene.copy()
    dead = scene.after(100)
    assert (dead.lock, dead.importing) == ("task-2", _in(EDGE))
    assert scene.arrivals() == [250]
    assert scene.copy(EDGE2) is CopyAnswer.BUSY
    assert scene.after(3000) == dead
    scene.clock.sleep(600)
    assert scene.copy(EDGE2) is CopyAnswer.ACCEPTED
    assert scene.after(16).stores == _in(CENTRAL, EDGE2)
    assert scene.copy() is CopyAnswer.ACCEPTED
    assert scene.after(16).failed == _in(EDGE)


def test_a_task_that_never_begins_keeps_its_lock_for_two_hours() -> None:
    scene = Scene(WorkerDies(Stage.PENDING))
    scene.copy()
    assert scene.after(3700).importing == _in()
    assert scene.copy() is CopyAnswer.BUSY
    scene.clock.sleep(3600)
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_the_lock_of_a_slow_staging_is_stolen() -> None:
    scene = Scene()
    scene.glance.pace = replace(PACE, staging=5000)
    scene.copy()
    scene.clock.sleep(3602)
    scene.glance.pace = PACE
    assert scene.copy(EDGE2) is CopyAnswer.ACCEPTED
    assert scene.after(10_000).stores == _in(CENTRAL, EDGE2)


def test_the_lock_of_a_slow_store_is_not() -> None:
    scene = Scene()
    scene.glance.pace = replace(PACE, storing=10_000)
    scene.copy()
    scene.clock.sleep(9000)
    assert scene.copy(EDGE2) is CopyAnswer.BUSY


def test_a_request_for_several_stores_serves_them_in_turn() -> None:
    scene = Scene(StoreBreaks())
    scene.glance.copy_elsewhere(scene.image, EDGE, EDGE2)
    between = scene.after(11)
    assert (between.failed, between.importing) == (_in(EDGE), _in(EDGE2))
    assert between.lock
    assert scene.copy() is CopyAnswer.BUSY
    after = scene.after(20)
    assert (after.stores, after.lock) == (_in(CENTRAL, EDGE2), None)


def test_deleted_in_staging_nothing_remains() -> None:
    scene = Scene()
    scene.copy()
    scene.glance.at(3, lambda: scene.glance.delete(scene.image))
    with pytest.raises(NotFoundError):
        scene.after(100)
    assert scene.arrivals() == []


def test_deleted_in_the_store_phase_an_orphan_remains() -> None:
    scene = Scene()
    scene.copy()
    scene.glance.at(10, lambda: scene.glance.delete(scene.image))
    with pytest.raises(NotFoundError):
        scene.after(100)
    assert scene.arrivals() == [1000]


def test_deactivated_during_a_copy_the_flag_sticks() -> None:
    scene = Scene()
    scene.copy()
    scene.glance.at(10, lambda: scene.glance.deactivate(scene.image))
    after = scene.after(100)
    assert (after.status, after.lock) == ("deactivated", None)
    assert (after.importing, after.stores) == (_in(EDGE), _in(CENTRAL))


def test_a_lock_may_be_there_from_the_start() -> None:
    scene = Scene()
    stuck = replace(
        scene.glance.get(scene.image), lock="old", importing=frozenset({EDGE2})
    )
    scene.glance.add(stuck)
    assert scene.copy() is CopyAnswer.BUSY
    scene.clock.sleep(3600)
    assert scene.copy() is CopyAnswer.ACCEPTED


@pytest.mark.parametrize("kind", [UnavailableError, CredentialsError])
def test_troubles_come_and_go(kind: type[CowpathError]) -> None:
    scene = Scene()
    scene.glance.trouble(Trouble(kind, frozenset({Verb.GET}), times=2))
    assert scene.copy() is CopyAnswer.ACCEPTED
    for _ in range(2):
        with pytest.raises(kind):
            scene.glance.get(scene.image)
    assert scene.glance.get(scene.image).lock
    assert scene.glance.count(Verb.GET) == 3


def test_a_lost_reply_took_effect() -> None:
    scene = Scene()
    scene.glance.trouble(Trouble(reply_lost=True))
    with pytest.raises(UnavailableError):
        scene.copy()
    assert scene.copy() is CopyAnswer.BUSY


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        (Rules(copy_enabled=False), UnsuitableError),
        (Rules(quota_left=False), QuotaError),
    ],
)
def test_rules_refuse(rules: Rules, kind: type[CowpathError]) -> None:
    scene = Scene()
    scene.glance.rules = rules
    with pytest.raises(kind):
        scene.copy()
    scene.glance.rules = Rules(admins_only=False)
    assert scene.glance.member().copy(scene.image, EDGE) is CopyAnswer.ACCEPTED


_SHARES = st.sampled_from([0.0, 0.5, 1.0])
_FATES = st.one_of(
    st.builds(Stored),
    st.builds(StoreBreaks, _SHARES, st.booleans()),
    st.builds(StagingDies, _SHARES, st.booleans()),
    st.builds(WorkerDies, st.sampled_from([*Stage][:3]), _SHARES),
)
_DEEDS = st.tuples(
    st.sampled_from([EDGE, EDGE2]), st.floats(0.1, 5000), st.booleans(), _FATES
)


@given(deeds=st.lists(_DEEDS, max_size=12))
def test_whatever_happens_it_stays_a_glance(
    deeds: list[tuple[StoreName, float, bool, Fate]],
) -> None:
    scene = Scene()
    before = scene.glance.get(scene.image)
    for store, seconds, alone, fate in deeds:
        scene.glance.plan(store, fate)
        locked = scene.glance.get(scene.image).lock
        stores = (store,) if alone else (EDGE, EDGE2)
        answer = scene.glance.copy_elsewhere(scene.image, *stores)
        assert locked or answer is not CopyAnswer.BUSY
        assert scene.glance.busy(scene.image) <= bool(
            scene.glance.get(scene.image).lock
        )
        after = scene.after(seconds)
        assert before.stores <= after.stores
        assert not after.failed & after.importing
        before = after
    scene.after(8000)
    assert not scene.glance.busy(scene.image)
    for store in scene.glance.get(scene.image).stores - {CENTRAL}:
        assert scene.arrivals(store)[-1] == SIZE


def test_sleeping_for_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="never ends"):
        FakeClock().sleep(0)


def _in(*stores: StoreName) -> frozenset[StoreName]:
    return frozenset(stores)
