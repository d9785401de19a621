"""Copies to several stores at once, and what others do to an image meanwhile.

The § of a test is that of the project's findings on Glance 33.0.0. "Seen" is what the
lab's own Glance 33.0.0, with file stores, was seen to do on 2026-11-22.
"""

import pytest

from cowpath.core.errors import NotFoundError, UnsuitableError
from cowpath.core.model import CopyAnswer, StoreName
from cowpath.testing.glance_records import STAGING_STORE, TASKS_STORE
from cowpath.testing.glance_scripts import StoreBreaks
from tests.contracts.catalog_scene import CENTRAL, EDGE, EDGE2, SIZE, Scene, within

HOUR = 3600


# Several stores in one request.


def test_several_stores_are_served_in_turn() -> None:
    """§3: one that fails does not keep the next; the lock is one."""
    scene = Scene(StoreBreaks())
    scene.copy(EDGE, EDGE2)
    between = scene.after(11)
    assert (between.failed, between.importing) == (within(EDGE), within(EDGE2))
    assert between.lock
    assert scene.copy() is CopyAnswer.BUSY
    after = scene.after(20)
    assert (after.stores, after.lock) == (within(CENTRAL, EDGE2), None)
    assert next(request.stores for request in scene.glance.requests) == (EDGE, EDGE2)


def test_where_all_must_succeed_one_undoes_the_others() -> None:
    """§3, and seen: taken out again; the next never tried, its flag stuck."""
    scene = Scene()
    edge10 = StoreName("edge10")
    scene.glance.leave_partial(scene.image, edge10, 1)
    scene.glance.copy_elsewhere(scene.image, EDGE, edge10, EDGE2, all_must_succeed=True)
    between = scene.after(15)
    assert (between.stores, between.failed) == (within(CENTRAL, EDGE), within(edge10))
    assert (between.importing, bool(between.lock)) == (within(EDGE2), True)
    after = scene.after(1)
    assert (after.stores, after.failed) == (within(CENTRAL), within(edge10))
    assert (after.importing, after.lock) == (within(EDGE2), None)
    assert scene.arrivals()[-1] is None
    assert scene.after(100) == after
    scene.copy()
    assert scene.after(16).stores == within(CENTRAL, EDGE)


def test_one_that_is_there_already_is_enough_to_refuse() -> None:
    """§3: 400, the whole request."""
    scene = Scene()
    assert scene.copy(EDGE, CENTRAL) is CopyAnswer.PRESENT
    assert scene.now().lock is None


def test_a_store_named_twice_locks_for_nothing() -> None:
    """Seen: 202, the task fails at once, flag and lock stay."""
    scene = Scene()
    answer = scene.glance.copy_elsewhere(scene.image, EDGE, EDGE)
    assert answer is CopyAnswer.ACCEPTED
    stuck = scene.after(100)
    assert (bool(stuck.lock), stuck.importing) == (True, within(EDGE))
    assert scene.copy() is CopyAnswer.BUSY
    scene.clock.sleep(HOUR)
    assert scene.copy() is CopyAnswer.ACCEPTED


def test_reserved_stores_are_accepted() -> None:
    """§3, and seen: staging fails as a Duplicate of itself; `tasks` even succeeds."""
    scene = Scene()
    assert scene.copy(STAGING_STORE) is CopyAnswer.ACCEPTED
    assert scene.after(16).failed == within(STAGING_STORE)
    assert scene.copy(TASKS_STORE) is CopyAnswer.ACCEPTED
    assert scene.after(16).stores == within(CENTRAL, TASKS_STORE)
    assert not {STAGING_STORE, TASKS_STORE} & {*scene.glance.stores()}


# What others do meanwhile.


def test_deleted_in_staging_nothing_remains() -> None:
    """§3: 204, clean."""
    scene = Scene()
    scene.copy()
    scene.glance.at(3, lambda: scene.glance.delete(scene.image))
    with pytest.raises(NotFoundError):
        scene.after(100)
    assert scene.arrivals() == []


def test_deleted_in_the_store_phase_an_orphan_remains() -> None:
    """§3, and seen: it is written to the end; the store after it is not tried."""
    scene = Scene()
    scene.copy(EDGE, EDGE2, StoreName("edge10"))
    scene.glance.at(20, lambda: scene.glance.delete(scene.image))
    with pytest.raises(NotFoundError):
        scene.after(100)
    assert scene.arrivals()[-1] is None
    assert scene.arrivals(EDGE2)[-1] == SIZE
    assert scene.arrivals(StoreName("edge10")) == []


def test_deactivated_in_staging_the_flag_sticks() -> None:
    """§3, and seen: no lock, no failed store."""
    scene = Scene()
    scene.copy()
    scene.glance.at(3, lambda: scene.glance.deactivate(scene.image))
    after = scene.after(100)
    assert (after.status, after.lock) == ("deactivated", None)
    assert (after.importing, after.stores) == (within(EDGE), within(CENTRAL))
    assert after.failed == within()
    with pytest.raises(UnsuitableError):
        scene.copy()
    scene.glance.change(scene.image, status="active")
    scene.copy()
    assert EDGE in scene.after(16).stores


def test_deactivated_in_the_store_phase_all_is_undone() -> None:
    """Seen: failed is listed, its bytes stay and block; finished stores go too."""
    scene = Scene()
    scene.copy(EDGE2, EDGE)
    scene.glance.at(20, lambda: scene.glance.deactivate(scene.image))
    between = scene.after(25)
    assert (between.stores, between.failed) == (within(CENTRAL, EDGE2), within(EDGE))
    after = scene.after(1)
    assert (after.stores, after.failed) == (within(CENTRAL), within(EDGE))
    assert (after.lock, after.importing) == (None, within())
    assert (scene.arrivals()[-1], scene.arrivals(EDGE2)[-1]) == (SIZE, None)
    scene.glance.change(scene.image, status="active")
    scene.copy()
    assert scene.after(16).failed == within(EDGE)
    scene.copy(EDGE2)
    assert scene.after(16).stores == within(CENTRAL, EDGE2)


def test_deactivated_before_the_task_begins_it_ends_in_silence() -> None:
    """`_VerifyImageState`: stored, then taken out again; no failed store."""
    scene = Scene()
    scene.copy()
    scene.glance.deactivate(scene.image)
    assert scene.after(15).stores == within(CENTRAL, EDGE)
    after = scene.after(10)
    assert (after.stores, after.failed) == (within(CENTRAL), within())
    assert (after.lock, scene.arrivals()[-1]) == (None, None)


def test_changes_made_meanwhile_are_lost() -> None:
    """§3, and seen: a step saves at its end what it loaded when it began."""
    scene = Scene()
    scene.copy()
    scene.clock.sleep(3)
    scene.glance.change(scene.image, name="new", min_disk=7)
    assert (scene.now().name, scene.now().min_disk) == ("new", 7)
    assert (scene.after(3).name, scene.now().min_disk) == ("debian", 0)
    scene.glance.change(scene.image, name="newer")
    assert scene.after(20).name == "debian"
    scene.glance.change(scene.image, name="last")
    assert scene.after(20).name == "last"


def test_made_private_meanwhile_a_member_is_blind_until_the_step_ends() -> None:
    """Seen: 404; then the step's end makes the image public again."""
    scene = Scene()
    member = scene.glance.member()
    scene.copy()
    scene.clock.sleep(8)
    scene.glance.change(scene.image, visibility="private")
    with pytest.raises(NotFoundError):
        member.get(scene.image)
    assert scene.now().lock
    scene.clock.sleep(10)
    assert member.get(scene.image).visibility == "public"
