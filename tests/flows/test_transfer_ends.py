"""Copying between stores: what is told, what fails, how fast it may go."""

from dataclasses import replace

import pytest

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    CopyAbandonedError,
    CopyFailedError,
    CowpathError,
    UnavailableError,
)
from cowpath.core.events import CopyFailed, CopyFinished, Event, Phase
from cowpath.core.model import Bytes, Location, StoreName
from cowpath.provision.copying.progress import Progress
from cowpath.provision.copying.targets import Target, Targets
from cowpath.testing.transfer_faults import KilledError, StepStore
from tests.flows.transfer_world import (
    CHUNK,
    EDGE1,
    EDGE2,
    FILLED,
    FULL,
    GONE,
    IMAGE,
    KIB,
    REQUESTS,
    Blind,
    Clinging,
    Fails,
    TransferWorld,
    counted,
    error_of,
    watched,
)


@pytest.fixture
def world() -> TransferWorld:
    return TransferWorld()


class TestProgress:
    def test_it_is_told_each_second(self, world: TransferWorld) -> None:
        world.terms = replace(world.terms, bandwidth=Bytes(CHUNK))
        world.copy()
        told = world.notes.progress()
        seconds = [each.elapsed for each in told]
        assert seconds == [1, 2, 3, 4]
        present = [each.present for each in told]
        assert present == sorted(present)
        assert {each.phase for each in told} == {Phase.STORING}
        assert {each.total for each in told} == {FILLED}

    def test_somebody_is_told_while_what_failed_still_runs(
        self, world: TransferWorld
    ) -> None:
        group = Targets(
            [Target(store, world.stores[store]) for store in (EDGE1, EDGE2)],
            all_or_none=True,
        )
        progress = Progress(world.image(), group, world.clock, world.notes)
        group.fail(GONE)
        world.clock.sleep(1)
        progress.beat()
        assert [each.store for each in world.notes.progress()] == [EDGE1]
        stopped = _Stopping(KilledError(), after=0)
        late = Progress(world.image(), group, world.clock, stopped)
        world.clock.sleep(1)
        with pytest.raises(KilledError):
            late.beat()

    def test_the_end_is_told(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Fails("draft", GONE))
        world.copy(EDGE1, EDGE2)
        ends = [
            (type(event), event.store)
            for event in world.notes.events
            if isinstance(event, CopyFinished | CopyFailed)
        ]
        assert ends == [(CopyFailed, EDGE1), (CopyFinished, EDGE2)]

    def test_observer_stops_it(self, world: TransferWorld) -> None:
        stop = CopyFailedError("the image was deleted")
        world.terms = replace(world.terms, bandwidth=Bytes(CHUNK))
        found = world.copy(EDGE1, EDGE2, observer=_Stopping(stop))
        assert found == {EDGE1: stop, EDGE2: stop}
        world.check_clean(EDGE1, EDGE2)

    def test_kill_in_the_observer_leaves_the_draft(self, world: TransferWorld) -> None:
        world.terms = replace(world.terms, bandwidth=Bytes(CHUNK))
        with pytest.raises(KilledError):
            world.copy(observer=_Stopping(KilledError(), after=3))
        assert world.drafts() == {EDGE1}
        world.terms = replace(world.terms, bandwidth=None)
        steps = watched()
        world.watch(EDGE1, steps)
        assert isinstance(world.copy()[EDGE1], Location)
        assert world.has(EDGE1) == world.data
        assert 0 < counted(steps.steps, "write") < REQUESTS


class _Stopping:
    def __init__(self, error: BaseException, after: int = 1) -> None:
        self._error = error
        self._after = after

    def tell(self, _event: Event) -> None:
        self._after -= 1
        if self._after < 0:
            raise self._error


class TestFailing:
    def test_nothing_to_do(self, world: TransferWorld) -> None:
        found = world.transfer().copy(
            world.image(), (), all_or_none=True, register=world.add
        )
        assert found == {}
        assert world.notes.events == []

    def test_foreign_error_of_register_leaves_all_as_it_is(
        self, world: TransferWorld
    ) -> None:
        # Nobody knows whether Glance lists it.
        def add(_store: StoreName, _location: Location) -> None:
            raise ValueError("of somebody else")

        with pytest.raises(ValueError, match="somebody else"):
            world.transfer().copy(
                world.image(), (EDGE1, EDGE2), all_or_none=True, register=add
            )
        assert world.has(EDGE1) == world.has(EDGE2) == world.data
        found = world.copy(EDGE1, EDGE2)
        assert set(found) == set(world.listed) == {EDGE1, EDGE2}
        assert not world.memories[EDGE1].aside(IMAGE)

    def test_what_cannot_be_removed_is_told(self, world: TransferWorld) -> None:
        class Stuck(Fails):
            def __call__(self, step: str) -> None:
                super().__call__(step)
                if step == "write":
                    raise ConflictError("full")

        world.watch(EDGE1, Stuck("discard", GONE))
        found = world.copy()
        assert str(found[EDGE1]) == "full"
        (warning,) = world.notes.warnings()
        assert "could not be removed" in warning
        assert str(GONE) in warning

    def test_published_although_no_answer_came(self, world: TransferWorld) -> None:
        inner = world.stores[EDGE1]
        world.watch(EDGE1, Fails("publish done", GONE))
        assert isinstance(world.copy()[EDGE1], UnavailableError)
        assert not world.listed
        world.stores[EDGE1] = inner
        assert isinstance(world.copy()[EDGE1], Location)
        assert not world.memories[EDGE1].aside(IMAGE)

    def test_what_came_before_a_store_was_away_is_kept(
        self, world: TransferWorld
    ) -> None:
        inner = world.stores[EDGE1]
        world.watch(EDGE1, Fails("write", GONE, first=4))
        error = error_of(world.copy()[EDGE1])
        assert isinstance(error, UnavailableError)
        assert str(GONE) in str(error)
        assert "is kept there" in str(error)
        assert world.drafts() == {EDGE1}
        steps = watched()
        world.stores[EDGE1] = inner
        world.watch(EDGE1, steps)
        assert isinstance(world.copy()[EDGE1], Location)
        assert counted(steps.steps, "write") == REQUESTS - 3

    def test_those_that_were_given_up_for_it_are_kept_too(
        self, world: TransferWorld
    ) -> None:
        world.watch(EDGE1, Fails("publish", GONE))
        found = world.copy(EDGE1, EDGE2, all_or_none=True)
        assert isinstance(found[EDGE2], CopyAbandonedError)
        assert world.drafts() == {EDGE1, EDGE2}
        assert not world.listed

    @pytest.mark.parametrize("all_or_none", [True, False])
    def test_draft_that_cannot_be_closed(
        self, world: TransferWorld, *, all_or_none: bool
    ) -> None:
        world.stores[EDGE1] = Clinging(world.stores[EDGE1])
        found = world.copy(EDGE1, EDGE2, all_or_none=all_or_none)
        assert set(world.listed) == {EDGE1, EDGE2}
        assert all(isinstance(each, Location) for each in found.values())
        (warning,) = world.notes.warnings()
        assert "could not be closed" in warning

    def test_failed_draft_that_cannot_be_closed(self, world: TransferWorld) -> None:
        failing = StepStore(Clinging(world.stores[EDGE1]), Fails("write", FULL))
        world.stores[EDGE1] = failing
        found = world.copy(EDGE1, EDGE2)
        assert found[EDGE1] is FULL
        assert found[EDGE2] == world.listed[EDGE2]
        assert world.has(EDGE2) == world.data

    def test_mark_goes_once_all_are_listed(self, world: TransferWorld) -> None:
        marks: list[set[StoreName]] = []
        world.watch(EDGE1, lambda step: _note(step, marks, world))
        world.copy(EDGE1, EDGE2, all_or_none=True)
        assert marks == [{EDGE1, EDGE2}]
        for store in (EDGE1, EDGE2):
            with pytest.raises(ConflictError):
                world.stores[store].withdraw(world.image())

    def test_mark_stays_where_the_caller_cares_for_it(
        self, world: TransferWorld
    ) -> None:
        world.transfer().copy(
            world.image(),
            (EDGE1,),
            all_or_none=True,
            register=world.add,
            settled=False,
        )
        world.stores[EDGE1].withdraw(world.image())
        assert world.has(EDGE1) is None

    @pytest.mark.parametrize("all_or_none", [True, False])
    def test_who_speaks_against_it_is_asked_before_anything_is_moved(
        self, world: TransferWorld, *, all_or_none: bool
    ) -> None:
        refusal = CopyFailedError("the lock is lost")

        def confirm(store: StoreName) -> None:
            world.put(store, b"somebody else's")
            raise refusal

        found = world.transfer().copy(
            world.image(),
            (EDGE1,),
            all_or_none=all_or_none,
            register=world.add,
            confirm=confirm,
        )
        assert found == {EDGE1: refusal}
        assert world.has(EDGE1) == b"somebody else's"
        assert not world.memories[EDGE1].aside(IMAGE)
        assert world.drafts() == set()

    def test_mark_that_stays_is_told(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Fails("listed", GONE))
        assert isinstance(world.copy()[EDGE1], Location)
        (warning,) = world.notes.warnings()
        assert "our mark stays" in warning

    def test_second_copy_at_the_same_time(self, world: TransferWorld) -> None:
        found: list[Location | CowpathError] = []

        def copy_again(step: str) -> None:
            if step == "write" and not found:
                found.extend(world.copy().values())

        world.watch(EDGE1, copy_again)
        assert isinstance(world.copy()[EDGE1], Location)
        assert isinstance(found[0], BusyError)
        assert world.has(EDGE1) == world.data


def _note(step: str, marks: list[set[StoreName]], world: TransferWorld) -> None:
    if step == "listed":
        marks.append(set(world.listed))


class TestBandwidth:
    def test_what_is_read_back_counts(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Blind())
        world.terms = replace(world.terms, bandwidth=Bytes(6 * KIB))
        world.copy()
        assert world.has(EDGE1) == world.data
        assert world.clock.now() == pytest.approx(2 * FILLED / 6 / KIB)

    def test_exact_over_the_whole_copy(self, world: TransferWorld) -> None:
        world.terms = replace(world.terms, bandwidth=Bytes(6 * 1024))
        world.copy()
        assert world.clock.now() == pytest.approx(FILLED / 6 / KIB)

    def test_one_link_is_shared(self, world: TransferWorld) -> None:
        world.terms = replace(world.terms, bandwidth=Bytes(6 * 1024))
        copies = world.transfer()
        for _ in range(2):
            copies.copy(world.image(), (EDGE1,), all_or_none=True, register=world.add)
            world.memories[EDGE1].remove(IMAGE)
        assert world.clock.now() == pytest.approx(2 * FILLED / 6 / KIB)
