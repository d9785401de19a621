"""When to look at Glance, and for how long: rules 6, 9 and 12 of following a copy."""

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise

import pytest

from cowpath.core.copy_steps import Ask, Done, Join, Look, Pause, Stop, Wait
from cowpath.core.copy_watch import CopyWatch
from cowpath.core.errors import (
    CopyTimeoutError,
)
from cowpath.core.events import Phase
from cowpath.core.model import (
    Arrival,
    Bytes,
    CopyAnswer,
)
from tests.unit.watching import (
    BASE,
    COPYING,
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

# 6. A transient error is not an answer.


def test_looks_without_an_answer_are_counted_and_survived() -> None:
    follower = accepted()
    for number in range(1, 20):
        assert follower.missed(GONE, float(number)) is None
        assert follower.misses == number
    assert follower.look(COPYING, None, 20) == Wait()
    assert follower.misses == 0


def test_looks_without_an_answer_end_with_the_patience() -> None:
    follower = accepted()
    assert follower.missed(GONE, 599) is None
    error = error_of(follower.missed(GONE, 600))
    assert type(error) is CopyTimeoutError
    assert "did not answer when last asked (2 times): Glance answers 502" in str(error)


def test_looks_without_an_answer_in_the_queue_end_with_the_queue() -> None:
    follower = queued()
    assert follower.missed(GONE, 899) is None
    assert isinstance(follower.missed(GONE, 900), Stop)


def test_a_request_whose_reply_is_lost_is_looked_after_before_it_is_repeated() -> None:
    """The request may have been accepted."""
    follower = watch()
    assert follower.look(IMAGE, None, 0) == Ask()
    assert follower.missed(GONE, 0) is None
    assert follower.look(COPYING, None, 1) == Join()


def test_a_glance_that_does_not_answer_before_any_copy_is_given_up_soon() -> None:
    follower = watch()
    assert follower.look(IMAGE, None, 0) == Ask()
    assert follower.missed(GONE, 0) is None
    assert follower.missed(GONE, 1) is None
    assert follower.missed(GONE, 2) == Stop(GONE)


def test_requests_that_are_never_answered_are_given_up_though_looks_are() -> None:
    """As when only Glance's task database is broken: GET 200, POST 500."""
    follower = watch()
    for second in range(2):
        assert follower.look(IMAGE, None, second) == Ask()
        assert follower.lies(None, second) == Ask()
        assert follower.missed(GONE, second) is None
    assert follower.look(IMAGE, None, 2) == Ask()
    assert follower.lies(None, 2) == Ask()
    assert follower.missed(GONE, 2) == Stop(GONE)


def test_an_answer_makes_up_for_lost_ones() -> None:
    follower = watch()
    for second in range(2):
        follower.look(IMAGE, None, second)
        follower.missed(GONE, second)
    assert follower.look(IMAGE, None, 3) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 3)
    assert follower.missed(GONE, 4) is None


# 9. When to look.


def looks(
    follower: CopyWatch, until: float, arrivals: Callable[[float], Arrival | None]
) -> list[float]:
    """Follow until then and return when Glance was looked at."""
    now, found = 0.0, []
    while now < until:
        step = follower.peek(arrivals(now), now)
        if isinstance(step, Pause):
            assert 0 < step.seconds <= PATIENCE.peek
            now += step.seconds
        else:
            found.append(now)
            assert follower.look(COPYING, None, now) == Wait()
    return found


def gaps(moments: Collection[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise([0.0, *moments])]


def test_looks_begin_soon_and_become_seldom() -> None:
    between = gaps(looks(accepted(), 200, lambda _: None))
    assert between[0] == pytest.approx(0.2)
    assert all(later > earlier - 0.001 for earlier, later in pairwise(between))
    assert between[-1] == pytest.approx(15)
    assert len(between) < 25


def test_looks_are_spread_and_the_poll_interval_stays_the_longest() -> None:
    follower = watch(jitter=1)
    follower.look(IMAGE, None, 0)
    follower.answered(CopyAnswer.ACCEPTED, 0)
    between = gaps(looks(follower, 200, lambda _: None))
    assert max(between) == pytest.approx(12)


def test_looks_are_a_minute_apart_while_bytes_arrive() -> None:
    growing = looks(accepted(), 400, lambda now: Arrival(Bytes(1 + int(now))))
    assert max(gaps(growing)) == pytest.approx(60)
    assert gaps(growing)[-1] == pytest.approx(60)


def test_a_copy_of_two_minutes_costs_less_than_a_fixed_poll() -> None:
    """One of 15 s looks at once, as Nova does, and last after the end: ten times."""

    def arriving(now: float) -> Arrival | None:
        return Arrival(Bytes(1 + int(now))) if now >= 3 else None

    for jitter in (0, 0.5, 1):
        follower = watch(jitter=jitter)
        follower.look(IMAGE, None, 0)
        follower.answered(CopyAnswer.ACCEPTED, 0)
        assert len(looks(follower, 122, arriving)) <= 6


def test_looks_come_closer_again_when_nothing_more_arrives() -> None:
    stalling = looks(accepted(), 240, lambda now: Arrival(Bytes(1 + int(min(now, 70)))))
    late = [moment for moment in stalling if moment > 150]
    assert max(b - a for a, b in pairwise(late)) == pytest.approx(15)


def test_the_whole_base_is_a_reason_to_look_at_once() -> None:
    follower = accepted()
    moments = looks(
        follower, 100, lambda now: Arrival(Bytes(1 + int(now * 10)), whole=now >= 83.5)
    )
    assert 83.5 in moments


def test_the_whole_base_brings_the_looks_close_together_again() -> None:
    """The lock goes within half a second of the last byte."""
    whole = Arrival(Bytes(1000), whole=True)
    moments = looks(accepted(), 150, lambda now: whole if now >= 120 else None)
    after = [moment for moment in moments if moment >= 120]
    assert after[0] == pytest.approx(120, abs=PATIENCE.peek)
    assert after[1] - after[0] < 1
    assert after[2] - after[1] < 1


def test_the_whole_base_is_looked_at_however_short_ago_the_last_look_was() -> None:
    follower = accepted()
    assert follower.look(COPYING, None, 10) == Wait()
    assert follower.peek(Arrival(Bytes(999)), 10.01) != Look()
    assert follower.peek(Arrival(Bytes(1000), whole=True), 10.02) == Look()


def test_bytes_that_go_away_are_a_reason_to_look_at_once() -> None:
    """Glance removes the partial image of a store that failed."""
    follower = accepted()
    moments = looks(
        follower, 90, lambda now: Arrival(Bytes(500 + int(now))) if now < 83.5 else None
    )
    assert any(83.5 <= moment < 84 for moment in moments)


def test_a_look_is_due_exactly_when_time_is_up() -> None:
    follower = accepted(replace(PATIENCE, timeout=7))
    follower.look(COPYING, None, 6.8)
    step = follower.peek(None, 6.9)
    assert isinstance(step, Pause)
    assert step.seconds == pytest.approx(0.1)
    assert follower.peek(None, 7) == Look()


def test_a_look_is_due_exactly_when_the_queue_ends() -> None:
    follower = queued()
    follower.look(shown(importing="edge2", lock="task-2"), None, 899.8)
    step = follower.peek(None, 899.9)
    assert isinstance(step, Pause)
    assert step.seconds == pytest.approx(0.1)


def test_a_look_follows_soon_after_a_request_whose_reply_is_lost() -> None:
    follower = watch()
    assert follower.look(IMAGE, None, 0) == Ask()
    assert follower.missed(GONE, 0) is None
    assert follower.peek(None, 1) == Look()


def test_looks_begin_anew_after_the_queue() -> None:
    follower = queued()
    for second in range(0, 300, 10):
        follower.look(shown(importing="edge2", lock="task-2"), None, second)
    assert follower.look(IMAGE, None, 300) == Ask()
    follower.answered(CopyAnswer.ACCEPTED, 300)
    assert follower.peek(None, 300.2) == Look()


# 12. Time is up.


def test_time_is_up_after_the_timeout_and_the_error_says_how_far() -> None:
    follower = accepted()
    follower.look(COPYING, None, 1)
    follower.peek(Arrival(Bytes(250)), 599)
    assert follower.look(COPYING, None, 599.9) == Wait()
    error = error_of(follower.look(COPYING, None, 600))
    assert type(error) is CopyTimeoutError
    for fact in ("600 s", "250 of 1000 bytes", "images_rbd_glance_copy_timeout"):
        assert fact in str(error)


def test_time_counts_from_joining() -> None:
    follower = watch()
    assert follower.look(COPYING, None, 100) == Join()
    assert follower.look(COPYING, None, 699) == Wait()
    assert isinstance(follower.look(COPYING, None, 700), Stop)


def test_an_image_that_came_at_the_last_moment_came() -> None:
    assert accepted().look(HERE, BASE, 600) == Done(BASE)


def test_no_timeout_is_no_limit() -> None:
    follower = accepted(replace(PATIENCE, timeout=0))
    assert follower.look(COPYING, None, 10_000_000) == Wait()
    assert follower.missed(GONE, 10_000_001) is None


def test_phases_follow_what_our_store_shows() -> None:
    follower = accepted()
    assert phase(follower) is Phase.STAGING
    follower.peek(Arrival(Bytes(1)), 1)
    assert (phase(follower), follower.present) == (Phase.STORING, 1)
    follower.peek(Arrival(Bytes(1000), whole=True), 2)
    assert phase(follower) is Phase.FINISHING
    assert follower.elapsed(2) == 2


def test_what_arrives_in_the_queue_is_looked_into_soon() -> None:
    """Glance shows the lock up to a second before it says what it imports to."""
    follower = watch()
    assert follower.look(shown(lock="task-1"), None, 0) == Wait()
    follower.peek(None, 0)
    assert isinstance(follower.peek(Arrival(Bytes(100)), 0.1), Pause)
    assert isinstance(follower.peek(Arrival(Bytes(200)), 0.4), Look)
    assert follower.look(COPYING, None, 0.4) == Join()
