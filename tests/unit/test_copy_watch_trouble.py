"""Stalls, dead locks, leftovers and old answers: rules 6, 7, 8, 10 and 11."""

from dataclasses import replace

import pytest

from cowpath.core.copy_watch import (
    Ask,
    CopyWatch,
    Done,
    Join,
    Look,
    Pause,
    SetAside,
    Stop,
    Wait,
)
from cowpath.core.errors import (
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    LeftoverError,
    UnsuitableError,
)
from cowpath.core.model import Arrival, Bytes, CopyAnswer, Image, Leftover, Patience
from tests.unit.watching import (
    BASE,
    COPYING,
    EDGE,
    GONE,
    HERE,
    IMAGE,
    PATIENCE,
    accepted,
    error_of,
    queued,
    shown,
    watch,
)

LYING = Leftover(IMAGE.id, "images/debian", Bytes(400), "rbd trash mv images/debian")
PASSING = replace(PATIENCE, dead_lock=3600, stall=0, timeout=0, queue=9000)
MIB = 2**20


def at(seconds: int, image: Image = IMAGE) -> Image:
    """Return the image as Glance changed it then."""
    return replace(image, updated=f"2026-01-01T00:00:{seconds:02}Z")


def repairing(patience: Patience = PATIENCE) -> CopyWatch:
    return CopyWatch(EDGE, patience, 0, repair=True)


# 6. What is older than what we saw is no answer.


def test_an_answer_from_before_our_request_is_no_failure() -> None:
    """Replicas of a database lag behind, and proxies keep what they saw."""
    old = at(1, shown(failed="edge1"))
    follower = watch()
    assert follower.look(old, None, 0) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 0)
    assert follower.look(at(5, COPYING), None, 5) == Wait()
    assert follower.look(old, None, 6) == Wait()
    assert follower.look(at(9, HERE), BASE, 9) == Done(BASE)


def test_an_answer_from_before_it_was_running_is_no_silent_death() -> None:
    follower = accepted(before=at(1))
    assert follower.look(at(5, COPYING), None, 40) == Wait()
    assert follower.look(at(1), None, 41) == Wait()


def test_a_clock_that_was_set_back_is_believed_in_the_end() -> None:
    follower = accepted(before=at(50))
    assert follower.look(at(10, HERE), BASE, 29) == Wait()
    assert follower.look(at(10, HERE), BASE, 31) == Done(BASE)


def test_images_without_a_time_are_never_old() -> None:
    follower = accepted()
    assert follower.look(COPYING, None, 5) == Wait()
    assert follower.look(HERE, BASE, 6) == Done(BASE)


# 7. An image that is not active any more.


@pytest.mark.parametrize("status", ["deactivated", "deleted", "pending_delete"])
def test_an_image_that_is_not_active_any_more_ends_it(status: str) -> None:
    """Glance goes on to copy a deactivated image, and fails at the end."""
    error = error_of(accepted().look(replace(COPYING, status=status), None, 5))
    assert type(error) is UnsuitableError
    assert f"became {status} while it was copied to store edge1" in str(error)
    queue = queued().look(replace(COPYING, status=status), None, 5)
    assert type(error_of(queue)) is UnsuitableError


# 8. Stalls.


def arrive(follower: CopyWatch, present: int, now: float) -> Pause | Look:
    return follower.peek(Arrival(Bytes(present)), now)


def test_bytes_that_stop_arriving_are_a_stall() -> None:
    follower = accepted()
    assert follower.look(COPYING, None, 1) == Wait()
    arrive(follower, 400, 10)
    follower.look(COPYING, None, 189)
    assert isinstance(arrive(follower, 400, 189.1), Pause)
    assert arrive(follower, 400, 190) == Look()
    error = error_of(follower.look(COPYING, None, 190))
    assert type(error) is CopyStalledError
    for fact in ("180 s", "400 of 1000 bytes", "task-1", "the same command joins"):
        assert fact in str(error)


def test_bytes_that_arrive_again_end_the_stall() -> None:
    follower = accepted()
    arrive(follower, 400, 10)
    arrive(follower, 401, 189)
    assert follower.look(COPYING, None, 190) == Wait()
    assert follower.look(COPYING, None, 368) == Wait()
    assert isinstance(follower.look(COPYING, None, 369), Stop)


def test_a_look_that_shows_the_end_comes_before_the_stall() -> None:
    follower = accepted()
    arrive(follower, 400, 10)
    assert follower.look(HERE, BASE, 190) == Done(BASE)


def test_what_is_left_may_all_be_zeros() -> None:
    """A thin store allocates none of them, and Glance reads 213 MiB in a second."""
    big = replace(COPYING, size=Bytes(30_000 * MIB))
    follower = accepted(replace(PATIENCE, timeout=0))
    follower.look(big, None, 1)
    arrive(follower, 1000 * MIB, 10)
    assert follower.look(big, None, 299) == Wait()
    assert isinstance(follower.look(big, None, 300), Stop)


def test_silence_before_the_first_byte_is_only_warned_of_once() -> None:
    """Staging cannot be seen from outside, and takes about half of the time."""
    follower = accepted()
    follower.look(COPYING, None, 1)
    follower.peek(None, 179)
    assert follower.warning(179) == ""
    assert "has arrived in store edge1 for 180 s" in follower.warning(180)
    assert follower.warning(181) == ""
    assert follower.look(COPYING, None, 599) == Wait()
    assert type(error_of(follower.look(COPYING, None, 600))) is CopyTimeoutError


def test_a_queue_is_neither_silence_nor_a_stall() -> None:
    follower = queued()
    busy = shown(importing="edge2", lock="task-2")
    arrive(follower, 10, 1)
    assert follower.look(busy, None, 500) == Wait()
    assert follower.warning(500) == ""


def test_a_stalled_copy_without_an_answer_from_glance_does_not_spin() -> None:
    follower = accepted()
    arrive(follower, 400, 10)
    assert follower.missed(GONE, 190) is None
    assert isinstance(arrive(follower, 400, 190), Pause)


def test_no_bound_for_stalls() -> None:
    follower = accepted(replace(PATIENCE, stall=0))
    arrive(follower, 400, 10)
    assert follower.look(COPYING, None, 599) == Wait()
    assert follower.warning(599) == ""


def test_a_store_that_does_not_answer_makes_us_ask_glance() -> None:
    follower = accepted()
    for second in range(60):
        arrive(follower, 1 + second, second)
        follower.look(COPYING, None, second)
    assert isinstance(arrive(follower, 61, 65), Pause), "it grows: no need to ask"
    assert isinstance(follower.blind(63), Pause)
    assert follower.blind(64) == Look()


def test_rate_and_time_left_are_those_of_the_last_half_minute() -> None:
    follower = accepted()
    follower.look(COPYING, None, 0)
    assert (follower.rate(0), follower.left(0)) == (None, None)
    for second in range(100):
        arrive(follower, 1 + second if second < 60 else 60 + 10 * (second - 60), second)
    assert follower.rate(99) == pytest.approx(10, rel=0.1)
    assert follower.left(99) == pytest.approx((1000 - 450) / 10, rel=0.1)
    arrive(follower, 100, 100)
    assert follower.rate(100) is None


def test_nothing_arrives_so_there_is_no_time_left_to_tell() -> None:
    follower = accepted()
    follower.look(COPYING, None, 0)
    for second in range(100):
        arrive(follower, 5, second)
    assert follower.rate(99) == 0
    assert follower.left(99) is None


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
    assert follower.lies(None, 2) == Ask()


def test_a_leftover_that_comes_again_is_named() -> None:
    follower = repairing()
    for second in (0, 2):
        follower.look(IMAGE, None, second)
        step = follower.lies(LYING, second)
    assert step == SetAside(LYING)
    follower.look(IMAGE, None, 3)
    assert type(error_of(follower.lies(LYING, 5))) is LeftoverError


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
    assert follower.lies(None, 8) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 8)
    assert follower.look(failed, None, 9) == Wait(), "an old failure is not news"
    assert follower.look(COPYING, None, 10) == Wait()
    assert follower.look(HERE, BASE, 20) == Done(BASE)


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
