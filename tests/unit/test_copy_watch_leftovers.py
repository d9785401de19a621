"""Dead locks and leftovers: rules 10 and 11 of following a copy."""

from dataclasses import replace

import pytest

from cowpath.core.copy_steps import Ask, Done, Join, SetAside, Stop, Wait
from cowpath.core.copy_watch import CopyWatch
from cowpath.core.errors import (
    CopyFailedError,
    LeftoverError,
)
from cowpath.core.events import Phase
from cowpath.core.model import Bytes, CopyAnswer, Image, Leftover
from tests.unit.watching import (
    BASE,
    COPYING,
    GONE,
    HERE,
    IMAGE,
    PATIENCE,
    accepted,
    arrive,
    at,
    error_of,
    queued,
    repairing,
    shown,
    watch,
)

LYING = Leftover(IMAGE.id, "images/debian", Bytes(400), "rbd trash mv images/debian")
PASSING = replace(PATIENCE, dead_lock=3600, stall=0, timeout=0, queue=9000)
MIB = 2**20


# 10. Dead locks.


def locked(idle: float | None, *, importing: str = "edge2", lock: str = "t") -> Image:
    return replace(shown(importing=importing, lock=lock), idle=idle)


def test_a_lock_is_never_passed_unless_that_is_allowed() -> None:
    follower = queued(replace(PASSING, dead_lock=0))
    assert follower.look(locked(10_000_000), None, 10) == Wait()


def test_a_lock_without_a_sign_of_life_is_passed_and_that_is_told() -> None:
    follower = watch(PASSING)
    assert follower.look(locked(3599), None, 0) == Wait()
    step = follower.look(locked(3602), None, 2)
    assert isinstance(step, Ask)
    assert "locked by task t, and nothing of it has changed for 3602 s" in step.warning
    assert follower.lies(LYING, 1) == Ask(), "its bytes lie there, of course"


def test_glance_decides_whether_the_lock_is_dead_and_is_not_asked_all_the_time() -> (
    None
):
    follower = watch(PASSING)
    assert follower.look(locked(3600), None, 0) == Wait()
    assert isinstance(follower.look(locked(3602), None, 2), Ask)
    follower.answered(CopyAnswer.BUSY, 2)
    assert follower.look(locked(3661), None, 61) == Wait()
    assert isinstance(follower.look(locked(3662), None, 62), Ask)


def test_a_lock_that_has_just_come_is_not_taken_for_dead() -> None:
    """A new task changes the image up to a second after it has the lock."""
    follower = watch(PASSING)
    assert follower.look(locked(999_999), None, 0) == Wait()
    assert follower.look(locked(999_999, lock="n"), None, 9) == Wait()
    assert isinstance(follower.look(locked(999_999, lock="n"), None, 11), Ask)


def test_a_lock_that_is_not_dead_keeps_being_followed() -> None:
    follower = watch(PASSING)
    ours = locked(3600, importing="edge1")
    assert follower.look(ours, None, 0) == Join()
    assert isinstance(follower.look(ours, None, 2), Ask)
    follower.answered(CopyAnswer.BUSY, 2)
    assert follower.look(ours, None, 3) == Wait()
    assert follower.look(HERE, BASE, 4) == Done(BASE)


def test_bytes_that_arrive_are_a_sign_of_life() -> None:
    follower = watch(PASSING)
    ours = locked(3600, importing="edge1")
    follower.look(ours, None, 0)
    arrive(follower, 5, 1)
    arrive(follower, 6, 2)
    assert follower.look(ours, None, 3) == Wait()


def test_bytes_that_were_there_when_we_came_are_none() -> None:
    follower = watch(PASSING)
    ours = locked(3600, importing="edge1")
    follower.look(ours, None, 0)
    arrive(follower, 5, 1)
    assert isinstance(follower.look(ours, None, 2), Ask)


def test_what_lay_there_before_is_no_stall_of_the_copy_after() -> None:
    follower = watch(replace(PASSING, stall=180))
    ours = locked(3600, importing="edge1")
    assert follower.look(ours, None, -1) == Join()
    assert isinstance(follower.look(ours, None, 1), Ask)
    follower.lies(LYING, 1)
    follower.answered(CopyAnswer.ACCEPTED, 1)
    for second in range(2, 400):
        arrive(follower, 400, second)
        step = follower.look(locked(1, importing="edge1", lock="n"), None, second)
        assert step == Wait()


def test_after_a_lock_was_passed_the_old_task_says_nothing() -> None:
    follower = watch(PASSING)
    old, new = locked(3600, importing="edge1"), locked(1, importing="edge1", lock="n")
    follower.look(old, None, -1)
    assert isinstance(follower.look(old, None, 1), Ask)
    follower.answered(CopyAnswer.ACCEPTED, 1)
    assert follower.look(locked(0, lock="n", importing=""), None, 2) == Wait()
    assert follower.look(old, None, 3) == Wait(), "an answer of before"
    assert follower.look(new, None, 4) == Wait()
    assert follower.look(HERE, BASE, 9) == Done(BASE)


def test_without_glance_s_word_a_lock_is_as_old_as_we_have_seen_it() -> None:
    follower = watch(PASSING)
    assert follower.look(locked(None), None, 10) == Wait()
    assert follower.look(locked(None), None, 3609) == Wait()
    assert follower.look(locked(None, lock="u"), None, 3610) == Wait()
    assert isinstance(follower.look(locked(None, lock="u"), None, 7210), Ask)


@pytest.mark.parametrize("follower", [queued(), accepted()])
def test_the_end_of_patience_says_how_a_lock_is_passed(follower: CopyWatch) -> None:
    error = error_of(follower.look(locked(9999), None, 5000))
    assert "[cowpath] pass_dead_lock_after" in str(error)
    assert "task t" in str(error)


# 11. Leftovers.


def test_a_leftover_is_named_with_its_cure_and_nothing_is_asked() -> None:
    follower = watch()
    assert follower.look(IMAGE, None, 0) == Ask()
    assert follower.lies(LYING, 0) == Wait()
    assert follower.look(IMAGE, None, 2) == Ask()
    error = error_of(follower.lies(LYING, 2))
    assert type(error) is LeftoverError
    for fact in (LYING.where, "400 bytes", LYING.cure, "set_aside_leftovers"):
        assert fact in str(error)


def test_what_still_changes_is_no_leftover() -> None:
    """Glance takes a failed copy away after it has dropped the lock, perhaps."""
    follower = watch()
    for second, present in enumerate([400, 300, 200, 100]):
        assert follower.look(IMAGE, None, second) == Ask()
        lying = replace(LYING, present=Bytes(present))
        assert follower.lies(lying, second) == Wait()
    assert follower.look(IMAGE, None, 4) == Ask()
    assert follower.lies(None, 4) == Ask()


def test_a_leftover_is_set_aside_where_that_is_allowed() -> None:
    follower = repairing()
    follower.look(IMAGE, None, 0)
    assert follower.lies(LYING, 0) == Wait()
    follower.look(IMAGE, None, 2)
    assert follower.lies(LYING, 2) == SetAside(LYING)
    follower.set_aside()
    assert follower.lies(None, 2) == Ask()


def test_a_leftover_that_somebody_is_at_is_tried_again_for_a_while() -> None:
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.lies(LYING, 0)
    for second in (2, 60, 121):
        follower.look(IMAGE, None, second)
        assert follower.lies(LYING, second) == SetAside(LYING)
        assert follower.not_set_aside(GONE, second) is None
    assert follower.not_set_aside(GONE, 122) == Stop(GONE)


def test_after_a_leftover_is_away_busy_and_lost_replies_are_as_at_first() -> None:
    """The failure that it made is none of the next copy's."""
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    failed = shown(failed="edge1")
    follower.look(failed, None, 1)
    follower.lies(LYING, 1)
    follower.look(failed, None, 3)
    assert follower.lies(LYING, 3) == SetAside(LYING)
    follower.set_aside()
    assert follower.lies(None, 3) == Ask()
    follower.answered(CopyAnswer.BUSY, 3)
    assert follower.look(shown(failed="edge1", lock="t"), None, 4) == Wait()
    assert follower.look(failed, None, 9) == Ask()
    assert follower.lies(None, 9) == Ask()
    assert follower.missed(GONE, 9) is None
    assert follower.look(failed, None, 10) == Ask()


def test_a_leftover_that_comes_again_is_named() -> None:
    follower = repairing()
    for second in (0, 2):
        follower.look(IMAGE, None, second)
        step = follower.lies(LYING, second)
    assert step == SetAside(LYING)
    follower.set_aside()
    for second in (3, 5):
        follower.look(IMAGE, None, second)
        step = follower.lies(LYING, second)
    assert type(error_of(step)) is LeftoverError


def test_a_failure_is_told_at_once_where_nothing_may_be_set_aside() -> None:
    follower = accepted()
    follower.look(COPYING, None, 1)
    step = follower.look(shown(failed="edge1", lock="task-1"), None, 5)
    assert type(error_of(step)) is CopyFailedError


def test_a_failure_over_a_leftover_is_repaired_and_asked_again() -> None:
    """Where a dead lock was passed, its bytes make the new copy fail first."""
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.lies(None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    follower.look(COPYING, None, 1)
    failed = shown(failed="edge1")
    assert follower.look(replace(failed, lock="task-1"), None, 5) == Wait()
    assert follower.look(failed, None, 6) == Ask()
    assert follower.lies(LYING, 6) == Wait()
    assert follower.look(failed, None, 8) == Ask()
    assert follower.lies(LYING, 8) == SetAside(LYING)
    follower.set_aside()
    assert follower.lies(None, 8) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 8)
    assert follower.look(failed, None, 9) == Wait(), "an old failure is not news"
    assert follower.look(COPYING, None, 10) == Wait()
    assert follower.look(HERE, BASE, 20) == Done(BASE)


def test_a_failure_that_was_never_seen_running_is_repaired_as_soon() -> None:
    """A copy over a leftover fails within a look; the real Glance shows no more."""
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.lies(None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    failed = shown(failed="edge1")
    assert follower.look(failed, None, 1) == Ask()
    assert follower.lies(LYING, 1) == Wait()
    assert follower.look(failed, None, 3) == Ask(), "no reason to wait for the grace"
    assert follower.lies(LYING, 3) == SetAside(LYING)
    follower.set_aside()
    assert follower.lies(None, 3) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 3)
    assert follower.look(failed, None, 4) == Wait(), "now it is old"
    assert follower.look(HERE, BASE, 9) == Done(BASE)


def test_a_failure_again_within_a_look_is_told_at_once() -> None:
    """The image changed since we asked, and the lock that came with the 202 is gone."""
    before = at(1, shown(failed="edge1"))
    follower = accepted(before=before)
    assert follower.look(before, None, 1) == Wait(), "nothing has happened yet"
    again = at(3, shown(failed="edge1"))
    assert type(error_of(follower.look(again, None, 2))) is CopyFailedError


def test_nothing_is_queued_while_a_leftover_is_looked_at() -> None:
    follower = watch()
    follower.look(IMAGE, None, 0)
    follower.lies(LYING, 0)
    assert follower.phase is Phase.LOOKING


def test_a_failure_without_a_leftover_stays_one() -> None:
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    follower.look(COPYING, None, 1)
    assert follower.look(shown(failed="edge1"), None, 5) == Ask()
    assert type(error_of(follower.lies(None, 5))) is CopyFailedError


def test_a_failure_whose_lock_stays_is_told_after_the_grace() -> None:
    follower = repairing()
    follower.look(IMAGE, None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    follower.look(COPYING, None, 1)
    failed = shown(failed="edge1", lock="task-1")
    assert follower.look(failed, None, 5) == Wait()
    assert follower.look(failed, None, 34) == Wait()
    assert type(error_of(follower.look(failed, None, 35))) is CopyFailedError


def test_the_stores_that_we_queue_behind_are_told() -> None:
    follower = queued()
    assert follower.behind == {"edge2"}
    assert accepted().behind == frozenset()
