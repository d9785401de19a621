"""The rules of following a copy, each by the habit of Glance that it answers.

Numbered as in docs/following-a-copy.md. Evidence: Glance 33.0.0, as it was seen to run.
"""

from dataclasses import replace

import pytest

from cowpath.core.copy_steps import Ask, Done, Join, Look, Stop, Wait
from cowpath.core.errors import (
    CopyFailedError,
    CopyTimeoutError,
    UntrustedError,
)
from cowpath.core.events import Phase
from cowpath.core.model import (
    Arrival,
    Bytes,
    CopyAnswer,
    Location,
)
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
    phase,
    queued,
    shown,
    watch,
)

# 1. Done.


def test_done_when_listed_unlocked_and_the_base_is_there() -> None:
    assert accepted().look(HERE, BASE, 10) == Done(BASE)


def test_an_image_that_is_here_is_done_whoever_holds_the_lock() -> None:
    for importing in ("", "edge2", "edge2,edge10"):
        image = shown("central,edge1", importing=importing, lock="task-2")
        assert watch().look(image, BASE, 0) == Done(BASE)


@pytest.mark.parametrize("stores", ["central,edge10", "central,edge", "edge1x", ""])
def test_a_store_whose_name_is_alike_is_not_ours(stores: str) -> None:
    assert watch().look(shown(stores), None, 0) == Ask()
    assert accepted().look(shown(stores, lock="t"), None, 1) == Wait()


def test_listed_while_glance_still_holds_the_lock_is_not_done_yet() -> None:
    """Glance drops the lock 0.1 to 0.5 s after it lists the store."""
    follower = accepted()
    assert follower.look(COPYING, None, 5) == Wait()
    still = shown("central,edge1", lock="task-1")
    assert follower.look(still, BASE, 10) == Wait()
    assert follower.look(HERE, BASE, 10.5) == Done(BASE)


def test_listed_while_glance_still_writes_to_our_store_is_not_done() -> None:
    follower = accepted()
    image = shown("central,edge1", importing="edge1", lock="task-1")
    assert follower.look(image, BASE, 5) == Wait()


def test_a_lock_kept_for_the_request_s_other_stores_does_not_hold_us_up() -> None:
    follower = accepted()
    image = shown("central,edge1", importing="edge2", lock="task-1")
    assert follower.look(image, BASE, 5) == Done(BASE)


def test_a_lock_that_outlives_the_grace_does_not_hold_us_up() -> None:
    """A worker that was killed between listing and unlocking leaves it for an hour."""
    follower = accepted()
    stuck = shown("central,edge1", lock="task-1")
    assert follower.look(stuck, BASE, 10) == Wait()
    assert follower.look(stuck, BASE, 39) == Wait()
    assert follower.look(stuck, BASE, 40) == Done(BASE)


def test_a_lock_that_is_there_when_time_is_up_does_not_hold_us_up() -> None:
    follower = accepted()
    stuck = shown("central,edge1", lock="task-1")
    assert follower.look(stuck, BASE, 590) == Wait()
    assert follower.peek(None, 600) == Look()
    assert follower.look(stuck, BASE, 600) == Done(BASE)


def test_a_stuck_importing_flag_does_not_hide_that_the_image_is_here() -> None:
    flagged = shown("central,edge1", importing="edge1")
    assert watch().look(flagged, BASE, 0) == Done(BASE)
    assert accepted().look(flagged, BASE, 5) == Done(BASE)


def test_listed_without_a_base_at_the_first_look_is_another_place() -> None:
    image = replace(HERE, locations=(Location("rbd://other/images/x/snap", EDGE),))
    error = error_of(watch().look(image, None, 0))
    assert type(error) is UntrustedError
    for fact in ("the pool", "rbd://other/images/x/snap", "edge1", "1000 bytes"):
        assert fact in str(error)


def test_hidden_locations_are_called_hidden() -> None:
    assert "locations: hidden" in str(error_of(watch().look(HERE, None, 0)))


def test_a_base_may_show_a_little_later_than_glance_lists_it() -> None:
    """NFS clients cache directories."""
    follower = accepted()
    assert follower.look(HERE, None, 10) == Wait()
    assert follower.look(HERE, None, 39) == Wait()
    assert type(error_of(follower.look(HERE, None, 40))) is UntrustedError


def test_a_base_that_shows_late_is_done() -> None:
    follower = accepted()
    assert follower.look(HERE, None, 10) == Wait()
    assert follower.look(HERE, BASE, 12) == Done(BASE)


def test_a_base_may_show_late_for_those_who_queued_too() -> None:
    follower = queued()
    assert follower.look(HERE, None, 10) == Wait()
    assert follower.look(HERE, BASE, 12) == Done(BASE)


def test_the_grace_of_a_late_base_begins_anew_when_the_listing_went_away() -> None:
    follower = accepted()
    assert follower.look(HERE, None, 10) == Wait()
    assert follower.look(COPYING, None, 20) == Wait()
    assert follower.look(HERE, None, 45) == Wait()


# 2. Join.


def test_a_running_copy_to_our_store_is_joined_without_a_request() -> None:
    follower = watch()
    assert follower.look(COPYING, None, 0) == Join()
    assert follower.look(COPYING, None, 5) == Wait()
    assert follower.look(HERE, BASE, 10) == Done(BASE)


def test_a_copy_to_several_stores_with_ours_is_joined() -> None:
    image = shown(importing="edge2,edge1", lock="task-1")
    assert watch().look(image, None, 0) == Join()


def test_importing_without_a_lock_is_a_stuck_flag_and_no_copy() -> None:
    """A failed task with must_succeed leaves os_glance_importing_to_stores for ever."""
    assert watch().look(shown(importing="edge1"), None, 0) == Ask()


def test_a_copy_to_a_store_whose_name_is_alike_is_not_joined() -> None:
    assert watch().look(shown(importing="edge10", lock="t"), None, 0) == Wait()


# 3. Queue.


def test_another_store_s_import_is_waited_for_and_then_we_ask() -> None:
    follower = queued()
    assert phase(follower) is Phase.QUEUED
    assert follower.look(shown(importing="edge2", lock="task-2"), None, 400) == Wait()
    assert follower.look(shown("central,edge2"), None, 800) == Ask()


def test_busy_means_to_wait_and_ask_again() -> None:
    follower = watch()
    assert follower.look(IMAGE, None, 0) == Ask()
    follower.answered(CopyAnswer.BUSY, 0)
    assert phase(follower) is Phase.QUEUED
    assert follower.look(shown(lock="task-2"), None, 1) == Wait()
    assert follower.look(IMAGE, None, 5) == Ask()


def test_a_copy_that_shows_up_while_we_queue_is_joined() -> None:
    assert queued().look(COPYING, None, 5) == Join()


def test_the_queue_has_an_end_of_its_own() -> None:
    follower = queued()
    held = shown(importing="edge2", lock="task-2")
    assert follower.look(held, None, 899) == Wait()
    assert follower.peek(None, 900) == Look()
    error = error_of(follower.look(held, None, 900))
    assert type(error) is CopyTimeoutError
    for fact in ("to edge2", "task-2", "900 s", "60 minutes", "never asked for"):
        assert fact in str(error)


def test_the_queue_s_end_is_counted_from_its_begin() -> None:
    follower = queued()
    assert follower.look(IMAGE, None, 500) == Ask()
    follower.answered(CopyAnswer.BUSY, 500)
    held = shown(lock="task-3")
    assert isinstance(follower.look(held, None, 900), Stop)


def test_a_lock_that_is_gone_at_the_queue_s_end_is_asked_for_once() -> None:
    follower = queued()
    assert follower.look(IMAGE, None, 900) == Ask()
    follower.answered(CopyAnswer.BUSY, 900)
    assert "not shown" in str(error_of(follower.look(IMAGE, None, 900)))


def test_time_in_the_queue_is_not_time_of_the_copy() -> None:
    follower = queued()
    assert follower.look(IMAGE, None, 800) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 800)
    assert follower.missed(GONE, 901) is None
    assert follower.look(COPYING, None, 1399) == Wait()
    assert isinstance(follower.look(COPYING, None, 1400), Stop)


def test_no_queue_is_no_wait() -> None:
    impatient = replace(PATIENCE, queue=0)
    held = shown(importing="edge2", lock="task-2")
    assert isinstance(watch(impatient).look(held, None, 0), Stop)


# 4. Old failures.


def test_a_failure_from_before_our_request_is_not_news() -> None:
    """os_glance_failed_import is cleared only when the new task starts."""
    old = shown(failed="edge1")
    follower = accepted(before=old)
    assert follower.look(replace(old, lock="task-1"), None, 1) == Wait()
    assert follower.look(replace(old, lock="task-1"), None, 29) == Wait()


def test_an_old_failure_counts_once_the_grace_is_over() -> None:
    old = shown(failed="edge1")
    follower = accepted(before=old)
    error = error_of(follower.look(old, None, 30))
    assert type(error) is CopyFailedError


def test_an_old_failure_is_no_news_while_our_task_waits_for_a_thread() -> None:
    """Glance runs a few tasks at a time: the lock is held, the flag not yet cleared."""
    waiting = shown(failed="edge1", lock="task-1")
    follower = accepted(before=shown(failed="edge1"))
    for now in (0.2, 30, 300):
        assert follower.look(waiting, None, now) == Wait()
    assert follower.look(COPYING, None, 310) == Wait()
    error = error_of(follower.look(shown(failed="edge1"), None, 320))
    assert type(error) is CopyFailedError


def test_a_failure_counts_at_once_after_the_copy_was_seen_running() -> None:
    old = shown(failed="edge1")
    follower = accepted(before=old)
    assert follower.look(COPYING, None, 2) == Wait()
    error = error_of(follower.look(shown(failed="edge1"), None, 4))
    assert type(error) is CopyFailedError
    assert "failed to copy" in str(error)
    assert "read its log" in str(error)


def test_a_failure_that_was_not_listed_before_counts_at_once() -> None:
    error = error_of(accepted().look(shown(failed="edge1"), None, 0.2))
    assert type(error) is CopyFailedError


def test_a_failure_of_a_store_whose_name_is_alike_is_not_ours() -> None:
    image = shown(failed="edge10", importing="edge1", lock="task-1")
    assert accepted().look(image, None, 1) == Wait()


def test_a_failure_that_is_listed_while_the_next_try_runs_is_not_over() -> None:
    both = shown(failed="edge1", importing="edge1", lock="task-1")
    assert accepted().look(both, None, 1) == Wait()


def test_a_failure_says_how_far_it_came() -> None:
    follower = accepted()
    follower.look(COPYING, None, 1)
    follower.peek(Arrival(Bytes(400)), 2)
    error = error_of(follower.look(shown(failed="edge1"), None, 3))
    assert "400 of 1000 bytes there" in str(error)


# 5. Silent deaths.


def test_a_copy_that_was_dropped_silently_is_asked_for_once_more_then_given_up() -> (
    None
):
    """Full staging space: the lock goes, and no store is said to have failed."""
    follower = accepted()
    assert follower.look(COPYING, None, 1) == Wait()
    assert follower.look(IMAGE, None, 5) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 5)
    assert follower.look(COPYING, None, 6) == Wait()
    error = error_of(follower.look(IMAGE, None, 10))
    assert type(error) is CopyFailedError
    assert "2 times and dropped it without a word" in str(error)


def test_a_copy_that_was_never_seen_is_believed_to_come_until_the_grace_is_over() -> (
    None
):
    """Nothing but the lock shows for the first second, and not always that."""
    follower = accepted()
    assert follower.look(IMAGE, None, 0.2) == Wait()
    assert follower.look(IMAGE, None, 29) == Wait()
    assert follower.look(IMAGE, None, 30) == Ask()


def test_a_stuck_flag_does_not_hide_a_silent_death() -> None:
    follower = accepted()
    assert follower.look(COPYING, None, 1) == Wait()
    assert follower.look(shown(importing="edge1"), None, 5) == Ask()


def test_a_second_request_after_a_silent_death_has_a_grace_of_its_own() -> None:
    follower = accepted()
    follower.look(COPYING, None, 1)
    assert follower.look(shown(failed="edge1", lock=None), None, 40) != Ask()
    follower = accepted()
    follower.look(COPYING, None, 1)
    assert follower.look(IMAGE, None, 40) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 40)
    assert follower.look(IMAGE, None, 41) == Wait()


def test_a_joined_copy_that_died_silently_is_asked_for() -> None:
    follower = watch()
    assert follower.look(COPYING, None, 0) == Join()
    assert follower.look(IMAGE, None, 5) == Ask()


def test_a_lock_that_went_to_another_store_s_import_hides_no_silent_death() -> None:
    """Where many sites want one image the lock is taken again at once."""
    follower = accepted()
    assert follower.look(COPYING, None, 1) == Wait()
    other = shown(importing="edge2", lock="task-2")
    assert follower.look(other, None, 5) == Wait()
    assert phase(follower) is Phase.QUEUED
    assert follower.look(shown("central,edge2"), None, 100) == Ask()


def test_a_lock_that_went_to_another_import_of_ours_is_followed() -> None:
    follower = accepted()
    assert follower.look(COPYING, None, 1) == Wait()
    assert follower.look(replace(COPYING, lock="task-2"), None, 5) == Wait()
    assert phase(follower) is Phase.STAGING


def test_our_own_lock_is_known_before_the_copy_shows() -> None:
    follower = accepted()
    assert follower.look(shown(lock="task-1"), None, 0.2) == Wait()
    assert follower.look(shown(lock="task-1"), None, 100) == Wait()
    assert phase(follower) is Phase.STAGING
    assert follower.look(shown(importing="edge2", lock="task-2"), None, 101) == Wait()
    assert phase(follower) is Phase.QUEUED
