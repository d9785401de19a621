"""Copying between stores: sources, several targets, what fails, what is told."""

import hashlib
from dataclasses import replace

import pytest

from cowpath.core.errors import (
    ConflictError,
    CopyAbandonedError,
    CopyFailedError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import Bytes, Location, StoreName
from cowpath.core.transfer import Verify
from cowpath.testing.transfer_faults import KilledError
from tests.flows.transfer_world import (
    CENTRAL,
    EDGE1,
    EDGE2,
    GONE,
    IMAGE,
    REQUESTS,
    Blind,
    Clinging,
    Fails,
    Sometimes,
    TransferWorld,
    counted,
    error_of,
    watched,
)


@pytest.fixture
def world() -> TransferWorld:
    return TransferWorld()


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


class TestSources:
    def test_cheapest_is_read(self, world: TransferWorld) -> None:
        world.put(EDGE2)
        world.costs = {CENTRAL: 10}
        steps = watched()
        world.watch(CENTRAL, steps)
        world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        assert world.has(EDGE1) == world.data
        assert steps.steps == []

    @pytest.mark.parametrize("step", ["original", "extents", "read", "unchanged"])
    def test_next_one_where_it_fails(self, world: TransferWorld, step: str) -> None:
        world.put(EDGE2)
        world.watch(CENTRAL, Fails(step, GONE))
        found = world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        assert isinstance(found[EDGE1], Location)
        assert world.has(EDGE1) == world.data
        assert world.notes.warnings() == [f"{GONE}; going on from store edge2"]

    def test_what_the_first_gave_is_not_copied_again(
        self, world: TransferWorld
    ) -> None:
        world.put(EDGE2)
        world.watch(CENTRAL, Fails("read", GONE, first=4))
        steps = watched()
        world.watch(EDGE1, steps)
        world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        assert world.has(EDGE1) == world.data
        assert counted(steps.steps, "write") == REQUESTS

    def test_bad_bytes_of_the_first_do_not_stay(self, world: TransferWorld) -> None:
        bad = b"x" * len(world.data)
        world.put(CENTRAL, bad)
        world.put(EDGE2)
        world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        assert world.has(EDGE1) == world.data
        (warning,) = world.notes.warnings()
        assert "memory://central" in warning
        assert str(world.image().hash)[7:19] in warning

    def test_link_that_was_away_for_a_moment(self, world: TransferWorld) -> None:
        world.watch(CENTRAL, Sometimes("read", GONE, at=4))
        steps = watched()
        world.watch(EDGE1, steps)
        assert isinstance(world.copy()[EDGE1], Location)
        assert world.has(EDGE1) == world.data
        assert counted(steps.steps, "write") == REQUESTS

    def test_link_that_stays_away(self, world: TransferWorld) -> None:
        steps = Fails("read", GONE, first=4)
        world.watch(CENTRAL, steps)
        error = error_of(world.copy()[EDGE1])
        assert isinstance(error, UnavailableError)
        assert str(GONE) in str(error)
        # Once more for what had arrived, and no more for nothing.
        assert counted(steps.steps, "original") == 2
        assert world.drafts() == {EDGE1}

    def test_how_it_is_closed_is_no_failure(self, world: TransferWorld) -> None:
        world.stores[CENTRAL] = Clinging(world.stores[CENTRAL])
        assert isinstance(world.copy()[EDGE1], Location)
        (warning,) = world.notes.warnings()
        assert str(GONE) in warning

    def test_all_fail(self, world: TransferWorld) -> None:
        world.put(CENTRAL, _flipped(world.data))
        world.put(EDGE2)
        world.watch(EDGE2, Fails("read", GONE))
        found = world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        error = error_of(found[EDGE1])
        # One that may pass by itself is not what is told of first.
        assert isinstance(error, CopyFailedError)
        assert "memory://central" in str(error)
        assert str(GONE) in str(error)
        world.check_clean(EDGE1)

    def test_none_can_be_read(self, world: TransferWorld) -> None:
        found = world.copy(EDGE1, image=world.image(StoreName("tape")))
        assert isinstance(found[EDGE1], NotFoundError)
        assert "tape" in str(found[EDGE1])

    def test_removed_while_it_was_read(self, world: TransferWorld) -> None:
        # Some stores read zeros then, and without a hash nobody would notice.
        world.terms = replace(world.terms, verify=Verify.NONE)

        def remove(step: str) -> None:
            if step == "unchanged":
                world.memories[CENTRAL].remove(IMAGE)

        world.watch(CENTRAL, remove)
        assert isinstance(world.copy()[EDGE1], NotFoundError)
        world.check_clean(EDGE1)


class TestSeveralTargets:
    def test_source_is_read_once(self, world: TransferWorld) -> None:
        steps = watched()
        world.watch(CENTRAL, steps)
        found = world.copy(EDGE1, EDGE2)
        assert set(found) == set(world.listed) == {EDGE1, EDGE2}
        assert world.has(EDGE1) == world.has(EDGE2) == world.data
        assert counted(steps.steps, "read") == REQUESTS

    @pytest.mark.parametrize("step", ["draft", "write", "extents", "publish"])
    def test_others_go_on(self, world: TransferWorld, step: str) -> None:
        world.watch(EDGE1, Fails(step, ConflictError("no")))
        found = world.copy(EDGE1, EDGE2)
        assert str(found[EDGE1]) == "no"
        assert isinstance(found[EDGE2], Location)
        assert world.has(EDGE2) == world.data
        world.check_clean(EDGE1)

    @pytest.mark.parametrize("step", ["draft", "write", "extents", "publish"])
    @pytest.mark.parametrize("bad", [EDGE1, EDGE2])
    def test_all_or_none(self, world: TransferWorld, step: str, bad: StoreName) -> None:
        world.watch(bad, Fails(step, ConflictError("no")))
        found = world.copy(EDGE1, EDGE2, all_or_none=True)
        assert str(found[bad]) == "no"
        (other,) = {EDGE1, EDGE2} - {bad}
        assert isinstance(found[other], CopyAbandonedError)
        world.check_clean(EDGE1, EDGE2)

    def test_all_are_published_before_one_is_listed(self, world: TransferWorld) -> None:
        seen: list[tuple[bytes | None, bytes | None]] = []

        def add(store: StoreName, location: Location) -> None:
            seen.append((world.has(EDGE1), world.has(EDGE2)))
            world.add(store, location)

        world.transfer().copy(
            world.image(), (EDGE1, EDGE2), all_or_none=True, register=add
        )
        assert seen == [(world.data, world.data)] * 2

    def test_refused_later_the_first_is_taken_back(self, world: TransferWorld) -> None:
        found = world.transfer().copy(
            world.image(),
            (EDGE1, EDGE2),
            all_or_none=True,
            register=_refusing(world, EDGE2),
            unregister=world.drop,
        )
        assert str(found[EDGE2]) == "deleted"
        assert isinstance(found[EDGE1], CopyAbandonedError)
        world.check_clean(EDGE1, EDGE2)

    def test_what_cannot_be_unlisted_stays(self, world: TransferWorld) -> None:
        found = world.transfer().copy(
            world.image(),
            (EDGE1, EDGE2),
            all_or_none=True,
            register=_refusing(world, EDGE2),
        )
        assert found[EDGE1] == world.listed[EDGE1]
        assert world.has(EDGE1) == world.data
        assert str(found[EDGE2]) == "deleted"
        world.check_clean(EDGE2)

    def test_refused_one_of_several(self, world: TransferWorld) -> None:
        found = world.transfer().copy(
            world.image(),
            (EDGE1, EDGE2),
            all_or_none=False,
            register=_refusing(world, EDGE1),
        )
        assert str(found[EDGE1]) == "deleted"
        assert found[EDGE2] == world.listed[EDGE2]
        world.check_clean(EDGE1)


def _refusing(world: TransferWorld, bad: StoreName) -> "_Refusing":
    return _Refusing(world, bad)


class _Refusing:
    def __init__(self, world: TransferWorld, bad: StoreName) -> None:
        self._world = world
        self._bad = bad

    def __call__(self, store: StoreName, location: Location) -> None:
        if store == self._bad:
            raise CopyFailedError("deleted")
        self._world.add(store, location)


class TestStoresOwnMeans:
    @pytest.fixture
    def world(self, world: TransferWorld) -> TransferWorld:
        world.terms = replace(world.terms, verify=Verify.TRANSFER)
        return world

    def test_nothing_is_read(self, world: TransferWorld) -> None:
        steps = watched()
        world.watch(CENTRAL, steps)
        world.watch(EDGE1, watched())
        world.copy()
        assert world.has(EDGE1) == world.data
        assert counted(steps.steps, "read") == 0

    def test_not_with_a_bandwidth(self, world: TransferWorld) -> None:
        world.terms = replace(world.terms, bandwidth=Bytes(1024**2))
        steps = watched()
        world.watch(EDGE1, steps)
        world.copy()
        assert world.has(EDGE1) == world.data
        assert counted(steps.steps, "take") == 0

    def test_not_where_something_lies(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Fails("take done", KilledError()))
        with pytest.raises(KilledError):
            world.copy()
        steps = watched()
        world.restart(EDGE1)
        world.watch(EDGE1, steps)
        world.copy()
        assert world.has(EDGE1) == world.data
        assert (counted(steps.steps, "take"), counted(steps.steps, "write")) == (0, 0)

    def test_extent_by_extent_where_they_fail(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Fails("take", GONE))
        world.copy()
        assert world.has(EDGE1) == world.data
        assert world.notes.warnings() == [f"{GONE}; going on extent by extent"]

    def test_removed_source_is_no_failure_of_the_target(
        self, world: TransferWorld
    ) -> None:
        world.put(EDGE2)

        def remove(step: str) -> None:
            if step == "take":
                world.memories[CENTRAL].remove(IMAGE)
                raise NotFoundError("the snapshot is gone")

        world.watch(EDGE1, remove)
        found = world.copy(EDGE1, image=world.image(CENTRAL, EDGE2))
        assert isinstance(found[EDGE1], Location)
        assert world.has(EDGE1) == world.data
        assert "edge2" in world.notes.warnings()[0]

    def test_other_errors_are_the_targets(self, world: TransferWorld) -> None:
        world.watch(EDGE1, Fails("take", ConflictError("no")))
        assert str(world.copy()[EDGE1]) == "no"
        world.check_clean(EDGE1)


class TestProof:
    def test_without_a_hash_it_is_compared(self, world: TransferWorld) -> None:
        for given in (None, "whirlpool9:00"):
            image = replace(world.image(), hash=given)
            world.put(CENTRAL, _flipped(world.data))
            found = world.copy(image=image)
            assert isinstance(found[EDGE1], Location)
            assert "only compared" in world.notes.warnings()[-1]
            world.memories[EDGE1].remove(IMAGE)

    @pytest.mark.parametrize("algorithm", ["sha512", "sha256", "md5", "blake2b"])
    def test_any_hash_that_is_known_here(
        self, world: TransferWorld, algorithm: str
    ) -> None:
        sum_ = hashlib.new(algorithm, world.data).hexdigest().upper()
        found = world.copy(image=replace(world.image(), hash=f"{algorithm}:{sum_}"))
        assert isinstance(found[EDGE1], Location)
        assert world.notes.warnings() == []

    def test_without_checksums_each_byte_of_the_source_is_read_once(
        self, world: TransferWorld
    ) -> None:
        blind, steps = Blind(), watched()
        world.watch(EDGE1, blind)
        world.watch(CENTRAL, steps)
        world.terms = replace(
            world.terms, verify=Verify.TRANSFER, bandwidth=Bytes(10**9)
        )
        world.copy()
        assert world.has(EDGE1) == world.data
        assert counted(steps.steps, "read") == REQUESTS
        assert counted(blind.steps, "read") == REQUESTS

    def test_what_the_target_says_is_no_failure_of_the_source(
        self, world: TransferWorld
    ) -> None:
        world.watch(EDGE1, Fails("differing", ConflictError("replaced")))
        found = world.copy(EDGE1, EDGE2)
        assert str(found[EDGE1]) == "replaced"
        assert isinstance(found[EDGE2], Location)
        world.check_clean(EDGE1)
