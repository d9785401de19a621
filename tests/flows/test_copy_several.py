"""One image to several stores: one request, and each store has its own outcome."""

from collections.abc import Sequence

from cowpath.core.errors import (
    CopyTimeoutError,
    CowpathError,
    ForbiddenError,
    UnsuitableError,
)
from cowpath.core.events import (
    BaseFound,
    CopyFailed,
    CopyFinished,
    CopyProgress,
    Phase,
)
from cowpath.core.model import (
    Base,
    CopyAnswer,
    ImageId,
    StoreName,
)
from cowpath.testing.glance_scripts import (
    Pace,
    StoreBreaks,
    Verb,
)
from tests.flows.world import CENTRAL, EDGE, SIMILAR, World

COPY, GET = Verb.COPY, Verb.GET


# Several stores.


def test_several_stores_take_one_request(world: World) -> None:
    image = world.glance.upload("debian")
    placed = world.site().place_all("debian", ["edge1", "edge10", "edge1"])
    assert list(placed) == [EDGE, SIMILAR]
    assert world.seen(image).stores == {CENTRAL, EDGE, SIMILAR}
    [request] = [each for each in world.glance.requests if each.verb is COPY]
    assert request.stores == (EDGE, SIMILAR)
    assert {event.store for event in _progress(world)} == {EDGE, SIMILAR}
    assert len(world.all(CopyFinished)) == 2
    [found] = world.all(BaseFound)
    assert found == BaseFound(_base(placed[EDGE]), copied=True)


def test_what_came_to_our_own_store_is_looked_at_before_it_is_called_good(
    world: World,
) -> None:
    image = world.glance.upload("debian", store="edge1")
    world.edge.put(image.id, b"QFI\xfb", image.size)
    placed = world.site().place_all("debian", ["edge1", "edge10"])
    assert isinstance(placed[EDGE], UnsuitableError)
    assert _base(placed[SIMILAR]).size == image.size


def test_each_store_has_its_own_outcome(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.plan("edge2", StoreBreaks())
    world.glance.copy_elsewhere(image.id, "edge10")
    world.clock.sleep(60)
    stores = ["central", "edge1", "edge2", "edge10", "nosuch"]
    placed = world.site().place_all("debian", stores)
    kinds = [type(placed[name]).__name__ for name in placed]
    assert kinds == ["Base", "Base", "CopyFailedError", "Base", "NotFoundError"]
    assert [each.store for each in world.told if isinstance(each, CopyFailed)] == [
        "edge2"
    ]
    assert "it has central, edge1, edge2, edge10" in str(placed[[*placed][-1]])
    assert world.asked().count(COPY) == 1


def test_several_stores_queue_together_behind_another_import(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(1)
    placed = world.site().place_all("debian", ["edge1", "edge10"])
    assert not any(isinstance(each, CowpathError) for each in placed.values())
    assert world.asked().count(COPY) == 1
    queued = [each for each in _progress(world) if each.phase is Phase.QUEUED]
    assert {name for each in queued for name in each.behind} == {"edge2"}


def test_a_store_that_got_it_meanwhile_does_not_keep_the_others_from_it(
    world: World,
) -> None:
    """Glance refuses the whole request where one of the stores has the image."""
    image = world.glance.upload("debian")
    catalog = _Late(world)
    placed = world.site(catalog=catalog).place_all("debian", ["edge1", "edge10"])
    assert not any(isinstance(each, CowpathError) for each in placed.values())
    assert world.seen(image).stores == {CENTRAL, EDGE, SIMILAR}
    assert catalog.answers[0] is CopyAnswer.PRESENT


class _Late:
    """Glance, where another import ends between our look and our request."""

    def __init__(self, world: World) -> None:
        self.world, self.glance = world, world.glance
        self.answers: list[CopyAnswer] = []
        self.get, self.find = self.glance.get, self.glance.find
        self.images, self.stores = self.glance.images, self.glance.stores

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        if not self.answers:
            self.glance.copy_elsewhere(image, "edge10")
            self.world.clock.sleep(60)
        self.answers.append(self.glance.copy(image, stores))
        return self.answers[-1]


def test_several_copies_are_asked_for_without_waiting(world: World) -> None:
    image = world.glance.upload("debian")
    answers = world.site().request_copies("debian", ["central", "edge1", "edge10"])
    assert answers == {
        CENTRAL: CopyAnswer.PRESENT,
        EDGE: CopyAnswer.ACCEPTED,
        SIMILAR: CopyAnswer.ACCEPTED,
    }
    assert world.asked().count(COPY) == 1
    world.clock.sleep(60)
    assert world.seen(image).stores == {CENTRAL, EDGE, SIMILAR}


def test_a_refusal_is_every_store_s_outcome(world: World) -> None:
    world.glance.upload("debian")
    catalog = world.glance.member()
    placed = world.site(catalog=catalog).place_all("debian", ["edge1", "edge10"])
    assert {type(each) for each in placed.values()} == {ForbiddenError}
    assert world.asked().count(COPY) == 1


def test_time_is_up_for_each_store_on_its_own(world: World) -> None:
    world.glance.pace = Pace(storing=400)
    world.glance.upload("debian")
    placed = world.site().place_all("debian", ["edge1", "edge10"])
    assert isinstance(placed[SIMILAR], CopyTimeoutError)
    assert not isinstance(placed[EDGE], CowpathError)


def _base(outcome: Base | CowpathError) -> Base:
    assert isinstance(outcome, Base), outcome
    return outcome


def _progress(world: World) -> list[CopyProgress]:
    return [event for event in world.told if isinstance(event, CopyProgress)]
