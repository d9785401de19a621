"""An image does not come: each reason has its error, its moment and its cure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from cowpath.core.errors import (
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
    UntrustedError,
)
from cowpath.core.events import BaseFound, CopyFinished, LookFailed
from cowpath.core.model import (
    CopyAnswer,
    Image,
    ImageId,
    Location,
    Patience,
    StoreName,
)
from cowpath.provision.ensure import ensure_local
from cowpath.testing.glance_scripts import (
    Pace,
    Rules,
    Stage,
    StagingDies,
    StoreBreaks,
    Trouble,
    Verb,
    WorkerDies,
)
from cowpath.testing.glance_simulator import GlanceSimulator
from tests.flows.away import AwayStore
from tests.flows.world import EDGE, GIB, World

COPY, FIND, GET = Verb.COPY, Verb.FIND, Verb.GET


def fails(world: World, error: type[CowpathError], words: str) -> CowpathError:
    """Place the image `debian`, which must raise exactly `error` with `words`."""
    with pytest.raises(error, match=words) as caught:
        world.site().place("debian")
    assert type(caught.value) is error
    assert world.all(CopyFinished, BaseFound) == []
    return caught.value


def test_a_broken_store_is_told_at_once_with_how_far_it_came(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks(at=0.5, leftover=True))
    said = fails(world, CopyFailedError, r"store edge1, \d+ of 1073741824 bytes there")
    assert "read its log" in str(said)
    assert world.asked().count(COPY) == 1
    broken_at, patience = 0.5 + 5 + 5, world.patience
    assert world.clock.now() - broken_at <= patience.poll + 2 * patience.peek


def test_a_store_that_breaks_before_the_first_byte_is_told(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks(at=0))
    fails(world, CopyFailedError, "failed to copy")
    assert world.clock.now() <= 5.5 + world.patience.poll


def test_an_old_failure_that_happens_again_is_news(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.change(image.id, failed=frozenset({EDGE}))
    world.glance.plan("edge1", StoreBreaks(at=0.5))
    fails(world, CopyFailedError, "failed to copy")
    assert world.clock.now() > 10


def test_a_copy_that_dies_silently_twice_is_given_up(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", StagingDies(), StagingDies(flag_stays=False))
    fails(world, CopyFailedError, "accepted .* 2 times and dropped it without a word")
    assert world.asked().count(COPY) == 2


def test_a_joined_copy_that_breaks_is_our_failure_too(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.plan("edge1", StoreBreaks())
    world.glance.copy_elsewhere(image.id, "edge1")
    world.clock.sleep(2)
    fails(world, CopyFailedError, "failed to copy")
    assert COPY not in world.asked()


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        (Rules(quota_left=False), QuotaError, "quota"),
        (Rules(copy_enabled=False), UnsuitableError, "enabled_import_methods"),
    ],
)
def test_what_glance_refuses_for_good_fails_at_once(
    world: World, rules: Rules, error: type[CowpathError], words: str
) -> None:
    image = world.glance.upload("debian")
    world.glance.rules = rules
    fails(world, error, words)
    assert world.asked() == [FIND, COPY]
    assert world.clock.slept == []
    assert world.seen(image) == image


def test_a_project_that_may_not_copy_is_told_at_once(world: World) -> None:
    image = world.glance.upload("debian")
    with pytest.raises(ForbiddenError, match="copy_image") as caught:
        world.site(catalog=world.glance.member()).place("debian")
    assert type(caught.value) is ForbiddenError
    assert world.asked() == [FIND, COPY]
    assert world.clock.slept == []
    assert world.seen(image) == image


def test_a_store_that_glance_does_not_have_is_told_at_once(world: World) -> None:
    image = world.glance.upload("debian")
    for verb in (world.site().place, world.site().request_copy):
        with pytest.raises(NotFoundError, match="no store edge7"):
            verb("debian", "edge7")
    assert world.clock.slept == []
    assert world.seen(image) == image


def test_an_image_that_glance_does_not_have_is_told_at_once(world: World) -> None:
    fails(world, NotFoundError, "debian")
    assert world.asked() == [FIND]


def test_an_image_that_is_deleted_meanwhile_is_told(world: World) -> None:
    image = world.glance.upload("debian")
    world.glance.at(7, lambda: world.glance.delete(image.id))
    fails(world, NotFoundError, image.id)
    assert world.clock.now() <= 7 + world.patience.steady


def test_a_deactivation_ends_it_at_the_next_look(world: World) -> None:
    """Glance drops such a copy at its end without a word, and leaves its flag."""
    image = world.glance.upload("debian")
    world.glance.at(7, lambda: world.glance.deactivate(image.id))
    fails(world, UnsuitableError, "deactivated")
    assert world.asked().count(COPY) == 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"status": "deactivated"}, "is deactivated: an administrator"),
        ({"status": "queued"}, "is queued: upload"),
        ({"status": "pending_delete"}, "is pending_delete: it must be active"),
        ({"disk_format": "qcow2"}, "is qcow2, not raw"),
        ({"disk_format": None}, "not raw"),
        ({"size": None}, "no bytes"),
        ({"stores": frozenset()}, "no bytes in any store"),
    ],
)
def test_no_copy_is_asked_for_an_image_that_cannot_be_cloned(
    world: World, facts: dict[str, object], words: str
) -> None:
    image = world.glance.upload("debian")
    world.glance.change(image.id, **facts)
    site = world.site()
    fails(world, UnsuitableError, words)
    with pytest.raises(UnsuitableError, match=words):
        site.place("debian", "edge2")
    with pytest.raises(UnsuitableError, match=words):
        site.request_copy("debian")
    with pytest.raises(UnsuitableError, match=words):
        site.create_disk("debian", "vm1")
    assert set(world.asked()) == {FIND}
    assert list(site.disks()) == []


def test_time_is_up_and_the_error_says_how_far_the_copy_is() -> None:
    world = World(patience=Patience(timeout=60), pace=Pace(staging=10, storing=500))
    image = world.glance.upload("debian")
    said = fails(world, CopyTimeoutError, r"after 60 s, \d{8,9} of 1073741824 bytes")
    assert said.retryable
    assert world.clock.now() == pytest.approx(60, abs=1)
    assert world.glance.busy(image.id)


def test_the_same_command_joins_the_copy_that_time_ran_out_on() -> None:
    world = World(patience=Patience(timeout=60), pace=Pace(staging=10, storing=90))
    world.glance.upload("debian")
    fails(world, CopyTimeoutError, "the same command joins it")
    assert world.site().place("debian").size == GIB
    assert world.tasks() == 1


def test_time_spent_behind_another_import_is_not_the_copy_s() -> None:
    world = World(patience=Patience(timeout=60), pace=Pace(staging=20, storing=35))
    image = world.glance.upload("debian")
    world.glance.copy_elsewhere(image.id, "edge2", "edge10")
    world.site().place("debian")
    assert world.clock.now() > 120


def test_a_dead_lock_is_not_waited_for_for_ever() -> None:
    world = World(patience=Patience(queue=300))
    image = world.glance.upload("debian")
    world.glance.plan("edge2", WorkerDies())
    world.glance.copy_elsewhere(image.id, "edge2")
    world.clock.sleep(2)
    began = world.clock.now()
    said = fails(world, CopyTimeoutError, "to edge2, has held .* task-2.* for 300 s")
    assert said.retryable
    assert COPY not in world.asked()
    assert world.clock.now() - began == pytest.approx(300, abs=1)


@pytest.mark.parametrize("stage", [Stage.PENDING, Stage.STAGING])
def test_a_worker_that_is_killed_before_it_stores_ends_in_a_timeout(
    world: World, stage: Stage
) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", WorkerDies(stage))
    fails(world, CopyTimeoutError, "after 600 s")
    assert world.asked().count(COPY) == 1
    assert world.clock.now() == pytest.approx(600, abs=1)


def test_a_worker_that_is_killed_while_it_stores_is_a_stall(world: World) -> None:
    world.glance.upload("debian")
    world.glance.plan("edge1", WorkerDies(Stage.STORING))
    said = fails(world, CopyStalledError, "nothing arrived for 18[0-9] s, 5368.*there")
    assert said.retryable
    assert world.asked().count(COPY) == 1
    assert world.clock.now() < 210


def test_a_glance_that_stays_away_is_given_up_when_time_is_up(world: World) -> None:
    world.glance.upload("debian")
    away = Trouble(verbs=frozenset({GET}), times=10_000)
    world.glance.at(3, lambda: world.glance.trouble(away))
    words = r"did not answer when last asked \(\d\d times\)"
    said = fails(world, CopyTimeoutError, words)
    assert isinstance(said.__cause__, UnavailableError)
    assert world.clock.now() == pytest.approx(600, abs=20)


@pytest.mark.parametrize("error", [UnavailableError, CredentialsError])
def test_a_glance_that_never_takes_the_request_is_given_up_soon(
    world: World, error: type[CowpathError]
) -> None:
    """Looks are answered, requests are not: as with a broken task database."""
    world.glance.upload("debian")
    world.glance.trouble(Trouble(error, frozenset({COPY}), times=10_000))
    fails(world, error, "planned trouble")
    assert world.asked().count(COPY) == 3


def test_a_glance_that_is_away_before_the_first_answer_is_told_at_once(
    world: World,
) -> None:
    world.glance.upload("debian")
    world.glance.trouble(Trouble(times=1))
    fails(world, UnavailableError, "planned trouble")
    assert world.asked() == [FIND]


@dataclass(frozen=True)
class _AlwaysBusy:
    """A Glance whose lock cannot be seen, or is always somebody else's."""

    glance: GlanceSimulator

    def get(self, image: ImageId) -> Image:
        return self.glance.get(image)

    def find(self, ref: str) -> Image:
        return self.glance.find(ref)

    def images(self) -> Iterator[Image]:
        return self.glance.images()

    def stores(self) -> tuple[StoreName, ...]:
        return self.glance.stores()

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        assert stores == (EDGE,)
        assert self.glance.get(image).lock is None
        if self.glance.count(GET) > 500:
            pytest.fail("it asks for ever")
        return CopyAnswer.BUSY


def test_a_lock_that_cannot_be_seen_is_not_waited_for_for_ever() -> None:
    """Property protections can hide os_glance_import_task from us."""
    world = World(patience=Patience(queue=300))
    world.glance.upload("debian")
    with pytest.raises(CopyTimeoutError, match="for 300 s"):
        world.site(catalog=_AlwaysBusy(world.glance)).place("debian")
    assert world.clock.now() == pytest.approx(300, abs=world.patience.poll)


def test_a_store_name_of_another_place_is_found_out_at_the_first_look(
    world: World,
) -> None:
    world.glance.upload("debian", store="edge1")
    world.edge.remove(world.glance.find("debian").id)
    said = fails(world, UntrustedError, "memory store edge1 holds no base of it")
    assert "images_rbd_glance_store_name" in str(said)
    assert COPY not in world.asked()


def test_a_copy_whose_bytes_go_to_another_place_is_found_out(world: World) -> None:
    """Glance says done, and nothing is here: two sites have one store name."""
    world.glance.upload("debian")
    elsewhere = type(world.edge)(world.edge._config)
    with pytest.raises(UntrustedError, match="holds no base of it"):
        world.site(store=elsewhere).place("debian")
    assert world.asked().count(COPY) == 1
    assert world.clock.now() < 15 + 2 * world.patience.grace


def test_a_location_that_leads_out_of_our_store_is_not_followed(world: World) -> None:
    image = world.glance.upload("debian", store="edge1")
    forged = Location("memory://edge1/ffffffff-0000-4000-8000-000000000000", EDGE)
    world.glance.change(image.id, locations=(forged,))
    fails(world, UntrustedError, "which is not this site's")
    sight = world.site().image("debian")
    assert sight.base is None
    assert sight.doubt is not None
    assert forged.url in sight.doubt


@pytest.mark.parametrize("copied", [False, True])
def test_an_image_with_another_format_s_header_is_not_cloned(
    world: World, *, copied: bool
) -> None:
    image = world.glance.upload("debian", store="central" if copied else "edge1")
    if copied:
        world.site().place("debian")
    world.told.clear()
    world.edge.put(image.id, b"QFI\xfb", size=GIB)
    fails(world, UnsuitableError, "labelled raw but begins with a qcow2 header")
    with pytest.raises(UnsuitableError, match="qcow2"):
        world.site().create_disk("debian", "vm1")
    assert list(world.edge.disks()) == []


def test_without_a_way_nothing_is_asked(world: World) -> None:
    image = world.glance.upload("debian")
    with pytest.raises(NotFoundError, match="no way to bring it here"):
        ensure_local(image, replace(world.ports(), ways=()))
    assert world.asked() == []


def test_our_own_store_may_be_away_for_a_while_during_a_copy(world: World) -> None:
    away = AwayStore(world, "find_base", "arrival", whiles=[(2, 38)])
    world.stores[EDGE] = away
    image = world.glance.upload("debian")
    base = world.site().place("debian")
    assert base.image == image.id
    assert world.clock.now() >= 40
    assert world.all(LookFailed)


def test_nothing_is_asked_for_a_store_that_is_out_of_reach(world: World) -> None:
    """Glance would wait for it for ever; three looks in vain are the end."""
    world.stores[EDGE] = AwayStore(world, "leftover")
    world.glance.upload("debian")
    fails(world, UnavailableError, "the OSDs did not answer")
    assert Verb.COPY not in world.asked()
    assert len(world.all(LookFailed)) == 2
