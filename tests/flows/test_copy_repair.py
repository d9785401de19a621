"""What broken copies leave: named, or set aside; dead locks; room; what changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    CopyBusyError,
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    CredentialsError,
    LeftoverError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.events import (
    CopyAsked,
    CopyJoined,
    CopyProgress,
    LeftoverSetAside,
    LookFailed,
    Phase,
    Warned,
)
from cowpath.core.model import (
    Bytes,
    Intake,
    Leftover,
    Patience,
    StoreName,
)
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.glance_scripts import (
    Pace,
    Stage,
    StoreBreaks,
    StoreStalls,
    Trouble,
    Verb,
    WorkerDies,
    WrongHash,
)
from tests.flows.away import AwayStore
from tests.flows.world import CENTRAL, EDGE, GIB, World

COPY, GET = Verb.COPY, Verb.GET
HOUR = 3600


def fails(world: World, kind: type[CowpathError], words: str) -> CowpathError:
    with pytest.raises(kind, match=words) as caught:
        world.site().place("debian")
    assert type(caught.value) is kind
    return caught.value


# Leftovers.


@pytest.fixture(params=[StoreBreaks(0.5, leftover=True), WrongHash()])
def broken(world: World, request: pytest.FixtureRequest) -> World:
    """A world where a copy of long ago left something at our site."""
    image = world.glance.upload("debian")
    world.glance.plan("edge1", request.param)
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(HOUR)
    assert world.edge.arrival(image)
    return world


def test_a_leftover_is_named_with_its_cure_and_no_copy_is_asked(broken: World) -> None:
    for _ in range(2):
        said = fails(broken, LeftoverError, "set_aside_leftovers")
        lying = broken.edge.leftover(broken.glance.find("debian"))
        assert lying
        assert lying.where in str(said)
        assert lying.cure in str(said)
        assert not said.retryable
    assert broken.asked().count(COPY) == 0


def test_a_leftover_is_set_aside_where_that_is_allowed(broken: World) -> None:
    broken.repair = True
    image = broken.glance.find("debian")
    base = broken.site().place("debian")
    assert base.size == image.size
    assert len(broken.all(LeftoverSetAside)) == len(broken.all(CopyAsked)) == 1
    assert len(broken.edge.aside(image.id)) == 1
    told = [type(event) for event in broken.told]
    assert told.index(LeftoverSetAside) < told.index(CopyAsked)


def test_the_site_shows_what_lies_there(broken: World) -> None:
    sight = broken.site().image("debian")
    assert sight.leftover is not None
    assert sight.arrival is not None
    broken.glance.plan("edge2", StoreStalls())
    broken.glance.copy_elsewhere(sight.image.id, "edge2")
    assert broken.site().image("debian").leftover is None, "somebody imports it"


def test_a_copy_that_leaves_something_says_so_when_it_fails(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks(0.5, leftover=True))
    lying = "What this site's store shows: .*536870912 bytes that a broken copy left"
    fails(world, CopyFailedError, lying)


def test_a_copy_that_leaves_something_is_repaired_and_asked_once_more(
    world: World,
) -> None:
    world.repair = True
    world.glance.upload("debian")
    world.glance.plan("edge1", WrongHash(), WrongHash())
    fails(world, CopyFailedError, "broken copy left")
    assert len(world.all(LeftoverSetAside)) == 1
    assert world.asked().count(COPY) == 2


class _Starts(MemoryStore):
    """A store where Glance begins to import just when something is set aside."""

    def __init__(self, world: World) -> None:
        super().__init__(MemoryConfig(EDGE))
        self.world = world

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        self.world.glance.copy_elsewhere(leftover.image, "edge2")
        return super().set_aside(leftover, confirm)


def test_nothing_is_set_aside_under_an_import(world: World) -> None:
    """It is waited for as in any queue, and then the leftover is out of the way."""
    world.repair = True
    store = world.stores[EDGE] = _Starts(world)
    image = world.glance.upload("debian")
    world.glance.leave_partial(image.id, "edge1", 100)
    world.site().place("debian")
    assert world.seen(image).stores == {CENTRAL, EDGE, StoreName("edge2")}
    assert store.aside(image.id) == [100]
    [waited] = world.all(LookFailed)
    assert isinstance(waited, LookFailed)
    assert isinstance(waited.error, CopyBusyError)
    assert Phase.QUEUED in {each.phase for each in _progress(world)}


@pytest.mark.parametrize("trouble", [1, 2])
def test_a_hiccup_does_not_spend_the_repair(broken: World, trouble: int) -> None:
    broken.repair = True
    broken.stores[EDGE] = _Hiccups(broken, trouble)
    asked = Trouble(verbs=frozenset({GET}), times=trouble)
    broken.glance.at(broken.clock.now() + 2, lambda: broken.glance.trouble(asked))
    broken.site().place("debian")
    assert len(broken.all(LeftoverSetAside)) == 1


def test_a_second_follower_meets_the_repair_of_the_first(broken: World) -> None:
    """As of another host: it finds nothing to set aside, and joins the copy."""
    broken.repair = True
    broken.stores[EDGE] = _First(broken)
    broken.site().place("debian")
    assert broken.all(LeftoverSetAside) == []
    assert len(broken.all(CopyJoined)) + len(broken.all(CopyAsked)) == 1


def test_a_leftover_that_stays_open_is_told_in_the_end(broken: World) -> None:
    broken.repair = True
    broken.stores[EDGE] = _Hiccups(broken, 10_000)
    began = broken.clock.now()
    fails(broken, BusyError, "somebody is at it")
    assert broken.clock.now() - began < 150


class _Gone(MemoryStore):
    """A store that shows a leftover which cannot be found when it is to be moved."""

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        del confirm
        raise NotFoundError(f"{leftover.where} is gone")


def test_a_leftover_that_is_never_found_is_told_in_the_end(broken: World) -> None:
    broken.repair = True
    store = _Gone(MemoryConfig(EDGE))
    store._files = broken.edge._files
    broken.stores[EDGE] = store
    began = broken.clock.now()
    fails(broken, NotFoundError, "is gone")
    assert broken.clock.now() - began < 150


def test_a_running_copy_s_bytes_are_nobody_s_leftover(world: World) -> None:
    """Whoever took them away on our word would break a copy that goes on."""
    world.patience = Patience(timeout=30)
    world.glance.pace = Pace(staging=1, storing=100)
    world.glance.upload("debian")
    away = Trouble(CredentialsError, frozenset({GET}), times=10_000)
    world.glance.at(world.clock.now() + 0.1, lambda: world.glance.trouble(away))
    error = fails(world, CopyTimeoutError, "did not answer when last asked")
    assert "broken copy left" not in str(error)


class _Hiccups(MemoryStore):
    """A store where somebody is at a leftover some times."""

    def __init__(self, world: World, times: int) -> None:
        super().__init__(MemoryConfig(EDGE))
        self.times = times
        self._files = world.edge._files

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        self.times -= 1
        if self.times >= 0:
            raise BusyError("somebody is at it")
        return super().set_aside(leftover, confirm)


class _First(MemoryStore):
    """A store where another host is first to set a leftover aside, and to ask."""

    def __init__(self, world: World) -> None:
        super().__init__(MemoryConfig(EDGE))
        self.world = world
        self._files = world.edge._files

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        self.world.glance.remove_leftover(leftover.image, EDGE)
        self.world.glance.copy_elsewhere(leftover.image, EDGE)
        return super().set_aside(leftover, confirm)


def test_what_has_disks_is_not_set_aside(world: World) -> None:
    world.repair = True
    world.glance.upload("debian", store="edge1")
    site = world.site()
    site.create_disk("debian", "vm1")
    image = world.glance.find("debian")
    world.glance.change(image.id, stores=frozenset({CENTRAL}), locations=())
    fails(world, ConflictError, "vm1")
    assert world.edge.aside(image.id) == []


# Dead locks.


def test_a_dead_lock_and_a_leftover_are_passed_where_allowed(world: World) -> None:
    """As after kill -9 of Glance while it stored: nothing resumes that copy."""
    world.patience = Patience(dead_lock=HOUR)
    world.repair = True
    image = world.glance.upload("debian")
    world.glance.plan("edge1", WorkerDies(Stage.STORING))
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(2 * HOUR)
    base = world.site().place("debian")
    assert base.size == image.size
    assert [type(event) for event in world.told if not isinstance(event, CopyProgress)][
        :3
    ] == [CopyJoined, Warned, CopyAsked]
    assert len(world.all(LeftoverSetAside)) == 1
    assert world.asked().count(COPY) == 2, (
        "one to pass the lock, one over a clean store"
    )


def test_a_dead_lock_of_another_store_s_import_is_passed(world: World) -> None:
    world.patience = Patience(dead_lock=HOUR)
    image = world.glance.upload("debian")
    world.glance.plan("edge2", WorkerDies(Stage.STAGING))
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(2 * HOUR)
    world.site().place("debian")
    assert world.asked().count(COPY) == 1


def test_a_lock_that_lives_is_not_passed(world: World) -> None:
    """Whatever we think, Glance answers 409 until an hour has gone by."""
    world.patience = Patience(dead_lock=60, timeout=0, stall=0)
    image = world.glance.upload("debian")
    world.glance.pace = Pace(staging=900)
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(1)
    world.site().place("debian")
    assert world.tasks() == 1
    assert len(world.all(CopyAsked)) == 0
    assert 10 <= world.asked().count(COPY) <= 16


# Stalls.


def test_a_stall_is_told_with_how_far_it_came_and_can_be_joined_again(
    world: World,
) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreStalls(at=0.5, seconds=400))
    fails(world, CopyStalledError, "536870912 of 1073741824 bytes there")
    fails(world, CopyStalledError, "536870912 of 1073741824 bytes there")
    base = world.site().place("debian")
    assert base.size == GIB
    assert world.asked().count(COPY) == 1


def test_what_cannot_be_seen_from_here_is_no_staging(world: World) -> None:
    world.glance.pace = Pace(staging=400)
    world.glance.upload("debian")
    world.site().place("debian", "edge10")
    assert world.all(Warned) == []
    assert {each.phase for each in _progress(world)} == {Phase.COPYING}


def test_long_staging_is_warned_of_and_followed(world: World) -> None:
    world.glance.pace = Pace(staging=400)
    world.glance.upload("debian")
    world.site().place("debian")
    [warned] = world.all(Warned)
    assert isinstance(warned, Warned)
    assert "Glance may still be staging it" in warned.text


def test_a_failure_is_seen_soon_though_our_own_store_is_away(world: World) -> None:
    """Every look at the store waits for its bound; Glance is asked after each."""
    world.stores[EDGE] = AwayStore(
        world, "arrival", "intake", whiles=[(6, 494)], waits=30
    )
    world.glance.upload("debian")
    world.glance.pace = Pace(staging=5, storing=100)
    world.glance.plan("edge1", StoreBreaks(0.5))
    fails(world, CopyFailedError, "What this site's store shows: the OSDs did not")
    assert world.clock.now() < 55 + 2 * 31 + 30
    assert world.all(LookFailed)


def test_a_failure_brings_what_ails_our_store(world: World) -> None:
    world.edge.ail("POOL_FULL: 1 pool(s) full")
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks(0.5))
    shows = "What this site's store shows: POOL_FULL: 1 pool"
    fails(world, CopyFailedError, shows)


# What changes under a copy.


def test_a_deleted_image_is_told_with_what_may_stay(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.at(10, lambda: world.glance.delete(image.id))
    fails(world, NotFoundError, r"\(debian\) was deleted, or is not ours .* edge1")


def test_an_image_made_private_is_told(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.rules = replace(world.glance.rules, admins_only=False)
    private = {"visibility": "private"}
    world.glance.at(3, lambda: world.glance.change(image.id, **private))
    with pytest.raises(NotFoundError, match="is not ours to see any more"):
        world.site(catalog=world.glance.member("alice")).place("debian")


# Room.


def test_a_copy_that_leaves_too_little_room_is_not_asked_for(world: World) -> None:
    image = world.glance.upload("debian")
    free = world.edge.intake().free
    world.min_free = Bytes(free - GIB + 1)
    fails(world, NoSpaceError, "would leave store edge1 with .* min_free is")
    assert world.asked().count(COPY) == 0
    with pytest.raises(NoSpaceError):
        world.site().request_copy("debian")
    world.min_free = Bytes(free - GIB)
    assert world.site().place("debian").size == image.size


class _Full(MemoryStore):
    """A store that takes nothing."""

    def intake(self) -> Intake:
        return Intake(Bytes(0), ("POOL_FULL: 1 pool(s) full",))


def test_no_copy_is_asked_for_a_store_that_takes_nothing(world: World) -> None:
    """Glance would wait for a full pool for ever, and give no sign."""
    world.stores[EDGE] = _Full(MemoryConfig(EDGE))
    world.glance.upload("debian")
    fails(world, NoSpaceError, "takes no copy of .* none was asked for: POOL_FULL")
    assert world.asked().count(COPY) == 0


def test_room_that_is_not_told_matters_where_some_must_stay_free(world: World) -> None:
    world.stores[EDGE] = AwayStore(world, "intake")
    world.glance.upload("debian")
    world.min_free = Bytes(1)
    fails(world, UnavailableError, "did not answer in time")
    world.min_free = None
    world.site().place("debian")


def test_a_copy_that_runs_already_is_followed_whatever_room_it_leaves(
    world: World,
) -> None:
    image = world.glance.upload("debian")
    world.min_free = world.edge.intake().free
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(1)
    assert world.site().place("debian").size == image.size


def test_another_site_s_room_is_not_known_here(world: World) -> None:
    world.glance.upload("debian")
    world.min_free = world.edge.intake().free
    assert world.site().place("debian", "edge10").size == GIB


def _progress(world: World) -> list[CopyProgress]:
    return [event for event in world.told if isinstance(event, CopyProgress)]
