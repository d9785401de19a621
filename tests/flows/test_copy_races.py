"""What changes between a look, a request and the next look; and what cannot be seen."""

from collections.abc import Sequence

import pytest

from cowpath.core.errors import (
    CopyBusyError,
    CopyFailedError,
    CowpathError,
    LeftoverError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.events import CopyAsked, CopyJoined, LeftoverSetAside, LookFailed
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    CopyAnswer,
    Image,
    ImageId,
    Leftover,
    Patience,
    StoreName,
)
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.testing.glance_scripts import Pace, StoreStalls, Verb
from tests.flows.away import AwayStore
from tests.flows.world import CENTRAL, EDGE, GIB, SIMILAR, World

COPY, GET = Verb.COPY, Verb.GET
EDGE2 = StoreName("edge2")
_ALL = ("territory", "find_base", "arrival", "leftover")


class Hooked:
    """Glance, where something happens just before a request for a copy."""

    def __init__(self, world: World) -> None:
        self.world, self.glance = world, world.glance
        self.answers: list[CopyAnswer] = []
        self.get, self.find = self.glance.get, self.glance.find
        self.images, self.stores = self.glance.images, self.glance.stores

    def before(self, image: ImageId) -> None:
        """Happen, before the first request."""

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        if not self.answers:
            self.before(image)
        self.answers.append(self.glance.copy(image, stores))
        return self.answers[-1]


# What is shown of an image.


def test_an_upload_under_way_is_no_leftover(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.change(image.id, status="saving", stores=frozenset())
    world.edge.put(image.id, size=100)
    sight = world.site().image("debian")
    assert sight.leftover is None
    assert sight.arrival == Arrival(Bytes(100))


def test_a_copy_that_began_since_the_list_was_given_is_no_leftover(
    world: World,
) -> None:
    image = world.glance.upload("debian")
    sights = iter(world.site().images())
    listed = world.glance.images
    world.glance.plan("edge1", StoreStalls(at=0.5))

    def late() -> list[Image]:
        found = list(listed())
        world.glance.copy_elsewhere(image.id, "edge1")
        world.clock.sleep(60)
        return found

    world.glance.images = late  # type: ignore[assignment,method-assign]
    [sight] = sights
    assert sight.arrival is not None
    assert sight.leftover is None


def test_a_store_that_does_not_answer_is_a_doubt_and_asked_once_for_a_list(
    world: World,
) -> None:
    store = world.stores[EDGE] = AwayStore(world, *_ALL)
    for name in ("a", "b", "c"):
        world.glance.upload(name)
    sights = list(world.site().images())
    assert ["did not answer" in (sight.doubt or "") for sight in sights] == [True] * 3
    assert store.unanswered["arrival"] == 1
    assert "did not answer" in (world.site().image("a").doubt or "")


def test_a_store_that_does_not_answer_keeps_no_other_from_its_copy(
    world: World,
) -> None:
    world.stores[EDGE] = AwayStore(world, *_ALL)
    world.glance.upload("debian")
    placed = world.site().place_all("debian", ["edge1", "edge10"])
    assert isinstance(placed[EDGE], UnavailableError)
    assert isinstance(placed[SIMILAR], Base)


def test_a_blind_copy_is_told_as_often_as_glance_is_asked(world: World) -> None:
    world.stores[EDGE] = AwayStore(world, "arrival")
    world.glance.upload("debian")
    world.glance.pace = Pace(staging=60)
    world.site().place("debian")
    told = [event for event in world.told if isinstance(event, LookFailed)]
    assert len(told) <= world.asked().count(GET) + 1
    times = [event.times for event in told]
    assert times == sorted(times)
    assert times[-1] > 50


# Between look and request.


class _ThreeStoresLater(Hooked):
    """One of the stores gets the image in between."""

    def before(self, image: ImageId) -> None:
        self.glance.copy_elsewhere(image, "edge10")
        self.world.clock.sleep(60)


def test_who_does_not_wait_is_told_the_truth_of_each_store(world: World) -> None:
    """Glance says 400 to the whole request where one of the stores has it by now."""
    image = world.glance.upload("debian")
    site = world.site(catalog=_ThreeStoresLater(world))
    answers = site.request_copies("debian", ["edge1", "edge10"])
    assert answers == {EDGE: CopyAnswer.ACCEPTED, SIMILAR: CopyAnswer.PRESENT}
    world.clock.sleep(60)
    assert world.seen(image).stores == {CENTRAL, EDGE, SIMILAR}


def test_who_does_not_wait_is_not_told_of_a_flag_that_was_left(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.change(image.id, importing=frozenset({EDGE}))
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(1)
    assert world.seen(image).importing == {EDGE, EDGE2}
    with pytest.raises(CopyBusyError):
        world.site().request_copy("debian")


def test_a_flag_that_was_left_does_not_make_another_s_import_ours(world: World) -> None:
    """Joined or not: once that import is over, ours is asked for."""
    world.patience = Patience(timeout=600, queue=3600)
    world.glance.pace = Pace(staging=5, storing=1500)
    image = world.glance.upload("debian")
    world.glance.change(image.id, importing=frozenset({EDGE}))
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(1)
    world.glance.at(1400, lambda: setattr(world.glance, "pace", Pace()))
    base = world.site().place("debian")
    assert base.size == GIB
    assert len(world.all(CopyAsked)) == 1


def test_who_does_not_wait_is_told_of_a_leftover(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.leave_partial(image.id, "edge1", 100)
    with pytest.raises(LeftoverError, match="nothing was asked"):
        world.site().request_copy("debian")
    assert world.asked().count(COPY) == 0


def test_room_is_looked_at_before_a_leftover_is_moved(world: World) -> None:
    world.repair = True
    image = world.glance.upload("debian")
    world.glance.leave_partial(image.id, "edge1", 100)
    world.min_free = world.edge.intake().free
    with pytest.raises(NoSpaceError):
        world.site().place("debian")
    assert world.all(LeftoverSetAside) == []


def test_a_misspelt_store_is_told_before_it_is_queued_for(world: World) -> None:
    """Glance looks at the lock first: it would be told after the other import."""
    image = world.glance.upload("debian")
    world.glance.pace = Pace(staging=900)
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(1)
    began = world.clock.now()
    with pytest.raises(NotFoundError, match=r"no store nosuch.* check the spelling"):
        world.site().place("debian", "nosuch")
    assert world.clock.now() - began < 1


class _Forgets(Hooked):
    """A store is taken out of Glance's configuration in between."""

    def before(self, image: ImageId) -> None:
        del image
        self.glance._stores = tuple(
            store for store in self.glance._stores if store != SIMILAR
        )


def test_a_store_that_glance_forgot_keeps_no_other_from_its_copy(world: World) -> None:
    world.glance.upload("debian")
    site = world.site(catalog=_Forgets(world))
    placed = site.place_all("debian", ["edge1", "edge10"])
    assert isinstance(placed[EDGE], Base)
    assert isinstance(placed[SIMILAR], NotFoundError)
    assert world.tasks() == 1


class _ListsInBetween(MemoryStore):
    """Glance lists the image here between the look and the moving away."""

    def __init__(self, world: World) -> None:
        super().__init__(MemoryConfig(EDGE))
        self.world = world

    def set_aside(self, leftover: Leftover, confirm: object) -> str:
        image = leftover.image
        size = self.world.glance.get(image).size
        self.put(image, size=size)
        self.world.glance.change(image, stores=frozenset({CENTRAL, EDGE}))
        return super().set_aside(leftover, confirm)  # type: ignore[arg-type]


def test_what_glance_lists_by_now_is_left_where_it_is(world: World) -> None:
    world.repair = True
    store = world.stores[EDGE] = _ListsInBetween(world)
    image = world.glance.upload("debian")
    world.glance.leave_partial(image.id, "edge1", 100)
    assert world.site().place("debian").size == image.size
    assert store.aside(image.id) == []


# Two hosts of one site.


def test_two_hosts_meet_one_leftover_and_both_get_the_image(world: World) -> None:
    world.repair = True
    image = world.glance.upload("debian")
    world.glance.leave_partial(image.id, "edge1", 100)
    outcomes: list[Base | CowpathError] = []

    class Second(MemoryStore):
        """The other host works while the first is about to set it aside."""

        def set_aside(self, leftover: Leftover, confirm: object) -> str:
            world.stores[EDGE] = store
            other = world.ports()
            outcomes.append(other.placer.place(world.seen(image), (EDGE,))[EDGE])
            return super().set_aside(leftover, confirm)  # type: ignore[arg-type]

    store = world.edge
    first = Second(MemoryConfig(EDGE))
    first._files, first._aside = store._files, store._aside
    world.stores[EDGE] = first
    outcomes.append(world.site().place("debian"))
    assert [type(outcome) for outcome in outcomes] == [Base, Base]
    assert world.asked().count(COPY) == 1
    assert len(store.aside(image.id)) == 1


def test_a_failure_of_one_caller_s_store_is_not_another_s(world: World) -> None:
    """A second caller of the same process joins for one store and leads another."""
    world.glance.upload("debian")
    placed = world.site().place_all("debian", ["edge1", "edge2"])
    assert not any(isinstance(each, CopyFailedError) for each in placed.values())
    assert world.all(CopyJoined) == []
