"""An image comes to a site: asked for once, joined, queued for, and waited out."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cowpath.core.errors import CopyBusyError, CredentialsError, UnavailableError
from cowpath.core.events import (
    BaseFound,
    CopyAsked,
    CopyFinished,
    CopyJoined,
    CopyProgress,
    LookFailed,
    Phase,
    Warned,
)
from cowpath.core.model import CopyAnswer, Patience
from cowpath.testing.glance_scripts import (
    Pace,
    StagingDies,
    StoreBreaks,
    Trouble,
    Verb,
)
from tests.flows.world import CENTRAL, EDGE, GIB, SIMILAR, World

COPY, FIND, GET = Verb.COPY, Verb.FIND, Verb.GET


def test_an_image_that_is_here_costs_one_request_and_no_copy(world: World) -> None:
    world.glance.upload("debian", store="edge1")
    base = world.site().place("debian")
    assert world.asked() == [FIND]
    assert world.told == [BaseFound(base, copied=False)]
    assert world.clock.slept == []


def test_an_image_elsewhere_is_copied_and_the_events_come_in_order(
    world: World,
) -> None:
    image = world.glance.upload("debian")
    base = world.site().place("debian")
    assert base.size == image.size
    assert world.story() == [
        "CopyAsked",
        "staging",
        "storing",
        "finishing",
        "CopyFinished",
        "BaseFound",
    ]
    assert world.asked().count(COPY) == 1
    assert world.seen(image).stores == {CENTRAL, EDGE}
    assert not world.glance.busy(image.id)


def test_progress_grows_and_never_passes_the_whole(world: World) -> None:
    image = world.glance.upload("debian")
    world.site().place("debian")
    steps = [event for event in world.told if isinstance(event, CopyProgress)]
    seen = [step.present for step in steps]
    assert seen == sorted(seen)
    assert {step.total for step in steps} == {image.size}
    assert seen[-1] == image.size
    assert len(set(seen)) > 5


def test_glance_is_asked_seldom_while_bytes_arrive(world: World) -> None:
    world.glance.pace = Pace(staging=60, storing=400)
    world.glance.upload("debian")
    world.site().place("debian")
    # 460 s: staging at most every 15 s, arriving at most every 60 s.
    assert world.asked().count(GET) < 30


def test_a_second_site_whose_name_begins_alike_gets_its_own_copy(world: World) -> None:
    image = world.glance.upload("debian", store=SIMILAR)
    world.site().place("debian")
    assert world.seen(image).stores == {EDGE, SIMILAR}
    assert len(world.all(CopyAsked)) == 1


def test_somebody_else_s_copy_to_our_store_is_joined(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(2)
    world.site().place("debian")
    assert COPY not in world.asked()
    assert world.tasks() == 1
    assert len(world.all(CopyJoined)) == 1
    assert world.all(CopyAsked) == []


def test_a_copy_that_was_just_accepted_for_another_caller_is_joined(
    world: World,
) -> None:
    """Nothing but the lock shows of it until its task runs."""
    image = world.glance.upload("debian")
    world.glance.pace = Pace(spawn=3)
    world.glance.copy_elsewhere(image.id, "edge1")
    world.site().place("debian")
    assert world.tasks() == 1
    assert world.story()[:3] == ["queued", "CopyJoined", "staging"]


def test_another_store_s_import_is_waited_for_and_then_we_ask(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.copy_elsewhere(image.id, "edge2", "edge10")
    world.clock.sleep(2)
    world.site().place("debian")
    assert world.story()[:2] == ["queued", "CopyAsked"]
    assert world.asked().count(COPY) == 1
    assert world.seen(image).stores == {"central", "edge1", "edge2", "edge10"}


def test_an_import_that_got_in_between_look_and_request_is_waited_for(
    world: World,
) -> None:
    image = world.glance.upload("debian")
    site = world.site()
    stale = world.seen(image)
    world.glance.copy_elsewhere(image.id, "edge2")
    world.ports().ways[0].bring(stale)
    assert world.asked().count(COPY) == 2
    assert world.tasks() == 2
    assert world.story()[:2] == ["queued", "CopyAsked"]
    assert site.place("debian").image == image.id


def test_a_copy_to_several_stores_is_ours_as_soon_as_our_store_is_done(
    world: World,
) -> None:
    image = world.glance.upload("debian")
    world.glance.copy_elsewhere(image.id, "edge1", "edge2")
    world.clock.sleep(2)
    world.site().place("debian")
    assert world.glance.busy(image.id)
    assert world.seen(image).stores == {"central", "edge1"}


def test_an_image_that_is_here_needs_no_wait_for_other_stores_imports(
    world: World,
) -> None:
    image = world.glance.upload("debian", store="edge1")
    world.glance.copy_elsewhere(image.id, "edge2")
    world.site().place("debian")
    assert world.glance.busy(image.id)
    assert world.asked() == [FIND]


def test_an_old_failure_is_not_news(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.pace = Pace(spawn=5)
    world.glance.change(image.id, failed=frozenset({EDGE}))
    world.site().place("debian")
    assert world.asked().count(COPY) == 1


def test_a_stuck_importing_flag_without_a_lock_is_no_copy(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.change(image.id, importing=frozenset({EDGE}))
    world.site().place("debian")
    assert len(world.all(CopyAsked)) == 1
    assert world.all(CopyJoined) == []


def test_a_stuck_importing_flag_does_not_hide_an_image_that_is_here(
    world: World,
) -> None:
    """A request to several stores that broke leaves the flag for the later ones."""
    image = world.glance.upload("debian", store="edge1")
    world.glance.change(image.id, importing=frozenset({EDGE}))
    world.site().place("debian")
    assert world.asked() == [FIND]
    assert world.story() == ["BaseFound"]


def test_a_copy_that_died_silently_is_asked_for_once_more(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StagingDies())
    world.site().place("debian")
    assert world.asked().count(COPY) == 2
    assert world.story().count("CopyAsked") == 2


@pytest.mark.parametrize("error", [UnavailableError, CredentialsError])
def test_looks_that_glance_does_not_answer_are_survived(
    world: World, error: type[UnavailableError | CredentialsError]
) -> None:
    world.glance.upload("debian")
    outage = Trouble(error, frozenset({GET}), times=5)
    world.glance.at(4, lambda: world.glance.trouble(outage))
    world.site().place("debian")
    failed = [event for event in world.told if isinstance(event, LookFailed)]
    assert [event.times for event in failed] == [1, 2, 3, 4, 5]
    assert {type(event.error) for event in failed} == {error}
    assert world.asked().count(COPY) == 1


def test_a_lost_reply_to_the_request_makes_no_second_copy(world: World) -> None:
    world.glance.upload("debian")
    world.glance.trouble(Trouble(verbs=frozenset({COPY}), reply_lost=True))
    world.site().place("debian")
    assert world.asked().count(COPY) == 1
    assert world.tasks() == 1
    assert len(world.all(CopyJoined)) == 1


def test_a_request_that_glance_did_not_take_is_made_again(world: World) -> None:
    world.glance.upload("debian")
    world.glance.trouble(Trouble(verbs=frozenset({COPY}), times=2))
    world.site().place("debian")
    assert world.asked().count(COPY) == 3
    assert world.tasks() == 1


def test_no_timeout_is_followed_to_the_end_with_a_warning() -> None:
    world = World(patience=Patience(timeout=0), pace=Pace(staging=1, storing=1200))
    world.glance.upload("debian")
    world.site().place("debian")
    (warned,) = world.all(Warned)
    assert "images_rbd_glance_copy_timeout is 0" in str(warned)
    assert world.clock.now() > 1200


def test_what_was_broken_yesterday_is_asked_for_again_today(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks())
    with pytest.raises(Exception, match="failed to copy"):
        world.site().place("debian")
    assert world.site().place("debian").size == GIB
    assert world.asked().count(COPY) == 2


def test_callers_of_one_process_share_one_follower(world: World) -> None:
    world.glance.upload("debian")
    site, together = world.site(), threading.Barrier(8)

    def create(number: int) -> str:
        together.wait(timeout=30)
        return site.create_disk("debian", f"vm{number}").name

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(create, range(8)))
    assert len(names) == 8
    assert world.tasks() == 1
    assert len(world.all(CopyAsked)) == 1
    assert len({disk.base for disk in site.disks()}) == 1


def test_callers_share_a_follower_to_another_site_s_store_too(world: World) -> None:
    world.glance.upload("debian")
    site, together = world.site(), threading.Barrier(4)

    def place(_: int) -> str:
        together.wait(timeout=30)
        return site.place("debian", "edge2").where

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(place, range(4))) == {"store edge2"}
    assert world.tasks() == 1
    assert len(world.all(CopyAsked)) == 1


def test_a_copy_to_another_site_is_followed_through_glance(world: World) -> None:
    image = world.glance.upload("debian")
    base = world.site().place("debian", "edge2")
    assert (base.image, base.where) == (image.id, "store edge2")
    assert world.seen(image).stores == {"central", "edge2"}
    (finished,) = world.all(CopyFinished)
    assert isinstance(finished, CopyFinished)
    assert finished.store == "edge2"
    phases = {step.phase for step in world.told if isinstance(step, CopyProgress)}
    assert phases == {Phase.COPYING}


def test_a_copy_can_be_asked_for_without_waiting(world: World) -> None:
    image = world.glance.upload("debian")
    site = world.site()
    assert site.request_copy("debian") is CopyAnswer.ACCEPTED
    assert world.clock.slept == []
    assert world.story() == ["CopyAsked"]
    for store in ("edge1", "edge2"):
        with pytest.raises(CopyBusyError, match=f"nothing was asked for store {store}"):
            site.request_copy("debian", store)
    world.clock.sleep(5)
    assert world.seen(image).importing == {"edge1"}
    assert site.request_copy("debian") is CopyAnswer.ACCEPTED
    assert len(world.all(CopyAsked)) == 1
    site.place("debian")
    asked = world.asked().count(COPY)
    assert site.request_copy("debian") is CopyAnswer.PRESENT
    assert site.request_copy(image.id, "central") is CopyAnswer.PRESENT
    assert world.asked().count(COPY) == asked


def test_a_site_tells_what_it_has_and_what_is_arriving(world: World) -> None:
    here = world.glance.upload("here", store="edge1")
    coming = world.glance.upload("coming")
    there = world.glance.upload("there")
    world.glance.copy_elsewhere(coming.id, "edge1")
    world.clock.sleep(10)
    sights = {sight.image.id: sight for sight in world.site().images()}
    assert sights[here.id].base is not None
    arrival = sights[coming.id].arrival
    assert arrival is not None
    assert 0 < arrival.present < GIB
    assert not arrival.whole
    assert (sights[there.id].base, sights[there.id].arrival) == (None, None)
    assert world.site().image("here") == sights[here.id]
