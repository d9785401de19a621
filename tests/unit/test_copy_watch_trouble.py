"""Old answers, changed images and stalls: rules 2, 6, 7 and 8."""

from dataclasses import replace

import pytest

from cowpath.core.copy_steps import Ask, Done, Join, Look, Pause, Stop, Wait
from cowpath.core.errors import (
    CopyStalledError,
    CopyTimeoutError,
    UnsuitableError,
)
from cowpath.core.model import Bytes, CopyAnswer, Leftover
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


def test_an_old_answer_is_old_however_long_nothing_changed() -> None:
    """Glance changes the image at the ends of steps only, and a step takes minutes."""
    old = at(1, shown(failed="edge1"))
    follower = watch()
    follower.look(old, None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    for second in range(5, 200, 15):
        assert follower.look(at(5, COPYING), None, second) == Wait()
    assert follower.look(old, None, 201) == Wait()


def test_old_answers_do_not_outlast_the_patience() -> None:
    follower = accepted(replace(PATIENCE, timeout=60), before=at(1))
    follower.look(at(5, COPYING), None, 50)
    assert follower.look(at(1), None, 59) == Wait()
    assert isinstance(follower.look(at(1), None, 60), Stop)


def test_a_deadline_that_did_not_end_it_is_no_reason_to_look_all_the_time() -> None:
    follower = repairing(replace(PATIENCE, timeout=0, queue=0))
    follower.look(shown(lock="t"), None, 0)
    assert follower.missed(GONE, 0) is not None
    step = follower.peek(None, 0.01)
    assert isinstance(step, Pause)


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


# 2. Somebody else's copy, and flags that were left.


def test_a_copy_for_others_first_has_its_time_when_it_comes_to_us() -> None:
    """Or never comes: a flag for our store may have been left long ago."""
    follower = watch()
    ours = shown(importing="edge1,edge2", lock="t")
    assert follower.look(ours, None, 0) == Join()
    assert follower.look(ours, None, 700) == Wait()
    assert follower.look(ours, None, 899) == Wait()
    alone = shown(importing="edge1", lock="t")
    assert follower.look(alone, None, 1498) == Wait()
    assert type(error_of(follower.look(alone, None, 1500))) is CopyTimeoutError


def test_a_joined_import_for_others_has_the_bound_of_a_queue() -> None:
    follower = watch()
    ours = shown(importing="edge1,edge2", lock="t")
    for second in range(0, 1400, 100):
        step = follower.look(ours, None, second)
    assert isinstance(step, Join | Wait)
    assert isinstance(follower.look(ours, None, 1500), Stop)


def test_a_store_that_is_done_is_done_though_another_task_has_the_lock() -> None:
    follower = accepted()
    follower.look(COPYING, None, 5)
    other = shown("central,edge1", lock="task-of-another-site")
    assert follower.look(other, BASE, 10) == Done(BASE)


# 8. Stalls.


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
