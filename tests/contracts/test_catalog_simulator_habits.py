"""The simulated Glance has the real one's habits, good and bad.

The § of a test is that of the project's findings on Glance 33.0.0. "Seen" is what the
lab's own Glance 33.0.0, with file stores, was seen to do on 2026-11-22.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.errors import (
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
)
from cowpath.core.model import CopyAnswer, StoreName
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_scripts import (
    Fate,
    Rules,
    Stage,
    StagingDies,
    StoreBreaks,
    Stored,
    StoreStalls,
    Trouble,
    Verb,
    WorkerDies,
    WrongHash,
)
from tests.contracts.catalog_scene import (
    CENTRAL,
    EDGE,
    EDGE2,
    PACE,
    SIZE,
    Scene,
    within,
)

HOUR = 3600


# The course of a copy.


def test_the_course_of_a_copy() -> None:
    """§2: the lock at once, flags later; the old failure goes with the task's start."""
    scene = Scene()
    scene.glance.change(scene.image, failed=within(EDGE, EDGE2))
    assert scene.copy() is CopyAnswer.ACCEPTED
    accepted = scene.now()
    assert (accepted.lock, accepted.importing) == ("task-2", within())
    assert accepted.failed == within(EDGE, EDGE2)
    begun = scene.after(1)
    assert (begun.importing, begun.failed) == (within(EDGE), within(EDGE2))
    assert replace(scene.after(3), updated=begun.updated) == begun
    assert scene.arrivals() == []
    assert replace(scene.after(6), updated=begun.updated) == begun
    stored = scene.after(5)
    assert (stored.stores, stored.importing) == (within(CENTRAL, EDGE), within())
    assert stored.lock
    assert scene.after(1).lock is None
    assert scene.arrivals() == [0, 500, 1000]
    assert not scene.glance.busy(scene.image)


def test_what_shows_as_a_change() -> None:
    """Seen: neither the 202 nor the end of the lock; the task's start, each step."""
    scene = Scene()
    scene.clock.sleep(100)
    scene.copy(EDGE, EDGE2)
    shown = [scene.now().idle, *(scene.after(1).idle for _ in range(28))]
    begun, staged, stored, stored2, ended = (
        shown.index(0.0, start) for start in (0, 2, 6, 16, 26)
    )
    assert shown[0] == 100.0
    assert (begun, staged, stored, stored2, ended) == (1, 5, 15, 25, 26)
    assert shown[staged:stored] == [float(second) for second in range(10)]
    assert shown[-1] == 2.0


def test_idle_is_told_in_whole_seconds() -> None:
    """Seen: `updated_at` and the header `Date` have no fractions."""
    scene = Scene()
    scene.clock.sleep(0.7)
    scene.glance.change(scene.image, name="other")
    assert scene.after(0.2).idle == 0.0
    assert scene.after(0.2).idle == 1.0
    old = scene.glance.add(replace(scene.now(), lock="old", idle=HOUR))
    assert old.idle == HOUR
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_a_long_sleep_misses_nothing() -> None:
    scene = Scene()
    scene.copy()
    after = scene.after(1000)
    assert (after.stores, after.lock) == (within(CENTRAL, EDGE), None)
    assert scene.arrivals() == [0, 1000]


def test_bytes_arrive_while_somebody_sleeps() -> None:
    scene = Scene()
    scene.copy()
    for _ in range(15):
        scene.clock.sleep(1)
    assert scene.arrivals() == [*range(0, 1001, 100)]


def test_a_store_may_stall_and_go_on() -> None:
    """An OSD that stops and comes back."""
    scene = Scene(StoreStalls(at=0.25, seconds=300))
    scene.copy()
    for _ in range(32):
        scene.clock.sleep(10)
    assert scene.arrivals() == [0, 250, 500, 1000]
    assert EDGE in scene.now().stores


# Failures.


def test_a_broken_store_is_listed_and_emptied() -> None:
    """§3: a full target; Glance removes the partial image and tells no reason."""
    scene = Scene(StoreBreaks(at=0.5), Stored())
    scene.copy()
    broken = scene.after(10)
    assert (broken.failed, broken.importing) == (within(EDGE), within())
    assert scene.arrivals() == [0, None]
    assert scene.after(1).lock is None
    scene.copy()
    assert scene.now().failed == within(EDGE)
    assert scene.after(1).failed == within()
    assert EDGE in scene.after(15).stores


def test_a_leftover_blocks_until_it_is_removed() -> None:
    """§3: Duplicate, every time; only after the whole staging."""
    scene = Scene(StoreBreaks(at=0.5, leftover=True))
    for _ in range(3):
        assert scene.copy() is CopyAnswer.ACCEPTED
        assert scene.after(4.5).failed == within()
        assert scene.after(11.5).failed == within(EDGE)
    assert scene.arrivals() == [0, 500]
    scene.glance.remove_leftover(scene.image, EDGE)
    scene.copy()
    assert EDGE in scene.after(16).stores


@pytest.mark.parametrize(
    "fate", [StoreBreaks(at=0, leftover=True), WorkerDies(Stage.STORING, at=0)]
)
def test_a_leftover_may_be_empty(fate: Fate) -> None:
    """Seen: an empty file is there before the first byte is read, and blocks.

    On Ceph an image without objects, which `add` creates first too.
    """
    scene = Scene(fate)
    scene.copy()
    scene.clock.sleep(2 * HOUR)
    assert scene.arrivals() == [0]
    scene.copy()
    assert scene.after(8).failed == within(EDGE)
    assert scene.arrivals() == [0]
    scene.glance.remove_leftover(scene.image, EDGE)
    assert scene.arrivals() == [0, None]


def test_a_store_that_gives_up_at_once_leaves_nothing() -> None:
    scene = Scene(StoreBreaks(at=0))
    scene.copy()
    assert scene.after(8).failed == within(EDGE)
    assert scene.arrivals() == [0, None]


def test_where_something_empty_lies_long_since_it_is_told() -> None:
    scene = Scene()
    scene.glance.leave_partial(scene.image, EDGE, 0)
    assert scene.arrivals() == [0]


def test_what_the_hash_refuses_stays_whole_and_blocks() -> None:
    """§3: failed is listed, the bytes are all there, the next copy is a Duplicate."""
    scene = Scene(WrongHash())
    scene.copy()
    assert scene.after(14).failed == within()
    refused = scene.after(2)
    assert (refused.failed, refused.stores) == (within(EDGE), within(CENTRAL))
    assert (refused.importing, refused.lock) == (within(), None)
    assert scene.arrivals()[-1] == SIZE
    scene.copy()
    assert scene.after(8).failed == within(EDGE)
    scene.glance.remove_leftover(scene.image, EDGE)
    scene.copy()
    assert EDGE in scene.after(16).stores


@pytest.mark.parametrize("stays", [True, False])
def test_staging_may_die_in_silence(*, stays: bool) -> None:
    """§3: no failed store, no lock; the flag is stuck."""
    scene = Scene(StagingDies(at=0.5, flag_stays=stays))
    scene.copy()
    assert scene.after(2).lock
    dead = scene.after(1)
    assert (dead.lock, dead.failed, dead.stores) == (None, within(), within(CENTRAL))
    assert dead.importing == (within(EDGE) if stays else within())
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_a_staging_quota_is_found_out_by_the_task() -> None:
    """§8: accepted, begun and ended without a failed store."""
    scene = Scene()
    scene.glance.rules = Rules(staging_quota_left=False)
    assert scene.copy() is CopyAnswer.ACCEPTED
    ended = scene.after(1)
    assert (ended.lock, ended.importing, ended.failed) == (None, within(), within())
    scene.glance.rules = Rules()
    scene.copy()
    assert EDGE in scene.after(16).stores


def test_what_was_staged_by_a_failed_copy_is_not_staged_again() -> None:
    """§3, and seen: where all stores must succeed, the whole image stays there."""
    scene = Scene(StoreBreaks(at=0))
    scene.glance.copy_elsewhere(scene.image, EDGE, all_must_succeed=True)
    assert scene.after(16).failed == within(EDGE)
    scene.copy()
    scene.clock.sleep(2)
    assert scene.arrivals()[-1] == 100
    assert EDGE in scene.after(10).stores
    scene.copy(EDGE2)
    scene.clock.sleep(5)
    assert scene.arrivals(EDGE2) == [0]


# Locks.


def test_one_import_at_a_time_whatever_the_store() -> None:
    """§3: 409 while there is a lock, even where the image is already."""
    scene = Scene()
    scene.copy()
    for store in (EDGE, EDGE2, CENTRAL, StoreName("nosuch")):
        assert scene.copy(store) is CopyAnswer.BUSY


def test_of_sixteen_at_once_one_is_accepted() -> None:
    """§3: 1 x 202, 15 x 409."""
    scene = Scene()
    with ThreadPoolExecutor(16) as pool:
        answers = Counter(pool.map(lambda _: scene.copy(), range(16)))
    assert answers == {CopyAnswer.ACCEPTED: 1, CopyAnswer.BUSY: 15}


def test_a_killed_worker_leaves_everything_for_an_hour() -> None:
    """§3: kill -9 while storing; then the lock is handed over, the bytes stay."""
    scene = Scene(WorkerDies(Stage.STORING, at=0.25))
    scene.copy()
    dead = scene.after(100)
    assert (dead.lock, dead.importing) == ("task-2", within(EDGE))
    assert scene.arrivals() == [0, 250]
    assert scene.copy(EDGE2) is CopyAnswer.BUSY
    assert scene.after(3000) == dead
    scene.clock.sleep(600)
    assert scene.copy(EDGE2) is CopyAnswer.ACCEPTED
    assert scene.now().importing == within()
    assert scene.after(16).stores == within(CENTRAL, EDGE2)
    assert scene.copy() is CopyAnswer.ACCEPTED
    assert scene.after(16).failed == within(EDGE)


def test_a_task_that_never_begins_keeps_its_lock_for_two_hours() -> None:
    """§3: 120 minutes where the task is `pending`."""
    scene = Scene(WorkerDies(Stage.PENDING))
    scene.copy()
    assert scene.after(3700).importing == within()
    assert scene.copy() is CopyAnswer.BUSY
    scene.clock.sleep(3600)
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_the_lock_of_a_slow_staging_is_stolen() -> None:
    """§3: the robbed task finds out when its step ends, and does nothing more."""
    scene = Scene()
    scene.glance.pace = replace(PACE, staging=5000)
    scene.copy()
    scene.clock.sleep(3602)
    scene.glance.pace = PACE
    assert scene.copy(EDGE2) is CopyAnswer.ACCEPTED
    assert scene.after(16).stores == within(CENTRAL, EDGE2)
    assert not scene.glance.busy(scene.image)
    assert scene.after(10_000).stores == within(CENTRAL, EDGE2)
    assert scene.arrivals() == []


def test_the_lock_of_a_slow_store_is_not() -> None:
    """§3: a task that writes says so every minute."""
    scene = Scene()
    scene.glance.pace = replace(PACE, storing=10_000)
    scene.copy()
    scene.clock.sleep(9000)
    assert scene.copy(EDGE2) is CopyAnswer.BUSY


def test_the_lock_of_a_stalled_store_is_stolen() -> None:
    """§3: without bytes there is no sign; what lies there blocks until it gives up."""
    scene = Scene(StoreStalls(at=0.5, seconds=2 * HOUR))
    scene.copy()
    scene.clock.sleep(HOUR + 20)
    assert scene.copy() is CopyAnswer.ACCEPTED
    assert scene.after(16).failed == within(EDGE)
    assert scene.arrivals() == [0, 500]
    scene.clock.sleep(HOUR)
    assert scene.arrivals()[-1] is None
    scene.copy()
    assert EDGE in scene.after(16).stores


def test_a_lock_is_taken_even_if_the_copy_is_then_refused() -> None:
    """`import_image` looks at the lock before it looks at the stores."""
    scene = Scene(WorkerDies())
    scene.copy()
    scene.clock.sleep(2 * HOUR)
    assert scene.copy(CENTRAL) is CopyAnswer.PRESENT
    after = scene.now()
    assert (after.lock, after.importing) == (None, within(EDGE))


def test_the_lock_of_a_task_that_is_gone_is_taken_at_once() -> None:
    """Seen, with the row deleted: shown like any lock, 202 to the first request.

    Nobody knows its stores any more, so nobody clears their flags.
    """
    scene = Scene(WorkerDies(Stage.STORING, at=0.25))
    scene.copy(EDGE, EDGE2)
    scene.clock.sleep(20)
    assert scene.copy(StoreName("edge10")) is CopyAnswer.BUSY
    scene.glance.change(scene.image, lock="purged", failed=within(EDGE2))
    assert (scene.now().lock, scene.glance.busy(scene.image)) == ("purged", False)
    assert scene.copy(StoreName("edge10")) is CopyAnswer.ACCEPTED
    assert scene.now().lock != "purged"
    after = scene.after(16)
    assert after.stores == within(CENTRAL, StoreName("edge10"))
    assert (after.importing, after.failed) == (within(EDGE, EDGE2), within(EDGE2))
    scene.copy(EDGE2)
    after = scene.after(16)
    assert (after.importing, after.failed) == (within(EDGE), within())


def test_it_is_taken_even_if_the_copy_is_then_refused() -> None:
    """Seen: 400, and the lock is gone."""
    scene = Scene()
    scene.glance.change(scene.image, lock="purged")
    assert scene.copy(CENTRAL) is CopyAnswer.PRESENT
    assert scene.now().lock is None


def test_a_lock_may_be_there_from_the_start() -> None:
    scene = Scene()
    stuck = replace(scene.now(), lock="old", importing=within(EDGE2))
    scene.glance.add(stuck)
    assert scene.copy() is CopyAnswer.BUSY
    scene.clock.sleep(HOUR)
    assert scene.copy() is CopyAnswer.ACCEPTED


# Who may, and who answers.


def test_an_administrator_copies_anybodys_image() -> None:
    """§3: 202; its owner may not by default."""
    scene = Scene()
    image = scene.glance.upload("hers", owner="alice", visibility="private").id
    with pytest.raises(ForbiddenError, match="copy_image"):
        scene.glance.member("alice").copy(image, [EDGE])
    with pytest.raises(NotFoundError):
        scene.glance.member("bob").copy(image, [EDGE])
    assert scene.glance.copy(image, [EDGE]) is CopyAnswer.ACCEPTED


def test_an_administrator_does_not_list_anybodys_community_image() -> None:
    """Seen: neither in lists nor by name; by id, and by its owner, it is found."""
    scene = Scene()
    image = scene.glance.upload("hers", owner="alice", visibility="community").id
    for ours in (scene.glance, scene.glance.member("bob")):
        assert ours.get(image).id == ours.find(image).id == image
        assert image not in {found.id for found in ours.images()}
        with pytest.raises(NotFoundError, match="hers"):
            ours.find("hers")
    alice = scene.glance.member("alice")
    assert alice.find("hers").id == image
    assert image in {found.id for found in alice.images()}


@pytest.mark.parametrize("kind", [UnavailableError, CredentialsError])
def test_troubles_come_and_go(kind: type[CowpathError]) -> None:
    scene = Scene()
    scene.glance.trouble(Trouble(kind, frozenset({Verb.GET}), times=2))
    assert scene.copy() is CopyAnswer.ACCEPTED
    for _ in range(2):
        with pytest.raises(kind):
            scene.now()
    assert scene.now().lock
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
    assert scene.glance.member().copy(scene.image, [EDGE]) is CopyAnswer.ACCEPTED


_SHARES = st.sampled_from([0.0, 0.5, 1.0])
_FATES = st.one_of(
    st.builds(Stored),
    st.builds(StoreBreaks, _SHARES, st.booleans()),
    st.builds(StoreStalls, _SHARES, st.sampled_from([1, 100, 5000])),
    st.builds(WrongHash),
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
    before = scene.now()
    for store, seconds, alone, fate in deeds:
        scene.glance.plan(store, fate)
        locked = scene.now().lock
        stores = (store,) if alone else (EDGE, EDGE2)
        answer = scene.glance.copy_elsewhere(scene.image, *stores)
        assert locked or answer is not CopyAnswer.BUSY
        assert scene.glance.busy(scene.image) <= bool(scene.now().lock)
        after = scene.after(seconds)
        assert before.stores <= after.stores
        assert not after.failed & after.importing
        before = after
    scene.after(16_000)
    assert not scene.glance.busy(scene.image)
    lying = scene.glance._records[scene.image].lying
    for store in (EDGE, EDGE2):
        last = [None, *scene.arrivals(store)][-1]
        assert (last is not None) == (store in lying | scene.now().stores)
        assert last == SIZE or store not in scene.now().stores


def test_sleeping_for_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="never ends"):
        FakeClock().sleep(0)
