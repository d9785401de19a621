"""What copying promises, whichever two stores it is done between."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cowpath.core.errors import (
    ConflictError,
    CopyFailedError,
    CowpathError,
    UnavailableError,
)
from cowpath.core.events import Event
from cowpath.core.model import Bytes, Image, Location, StoreName
from cowpath.core.transfer import ImageStore, Terms, Verify
from cowpath.provision.transfer import Transfer
from cowpath.testing.clock import FakeClock
from cowpath.testing.store_fixtures import IMAGE
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_doors import ImageStoreDoors
from cowpath.testing.transfer_faults import Countdown, KilledError, Step, StepStore
from cowpath.testing.transfer_fixtures import TransferFixtures

Outcomes = Mapping[StoreName, Location | CowpathError]


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


class Shelf:
    """Glance's list of an image's locations."""

    def __init__(self) -> None:
        self.listed: dict[StoreName, Location] = {}

    def add(self, store: StoreName, location: Location) -> None:
        self.listed[store] = location

    def drop(self, store: StoreName, _location: Location) -> None:
        del self.listed[store]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stores, and an image that the source has.

    Attributes:
        site: The target.
        source: Where the image is.
        image: As Glance shows it.
        data: Its bytes.
        terms: How it is copied.
    """

    site: ImageStoreDoors
    source: ImageStoreDoors
    image: Image
    data: bytes
    terms: Terms

    def with_terms(self, **terms: Any) -> "Pair":
        """Return the same, copied on other terms."""
        return replace(self, terms=replace(self.terms, **terms))

    def transfer(
        self, target_step: Step | None = None, *, again: bool = False
    ) -> Transfer:
        """Return the verb; `again` is as another process has it."""
        target: ImageStore = self.site.another() if again else self.site.store
        if target_step:
            target = StepStore(target, target_step)
        stores = {self.site.name: target, self.source.name: self.source.store}
        return Transfer(stores, {}, lambda *_: self.terms, FakeClock(), Notes())

    def copy(
        self, shelf: Shelf, target_step: Step | None = None, *, again: bool = False
    ) -> Outcomes:
        """Copy the image to the site."""
        return self.transfer(target_step, again=again).copy(
            self.image,
            [self.site.name],
            all_or_none=True,
            register=shelf.add,
            unregister=shelf.drop,
        )


_AGREED = [
    Terms(verify, bandwidth, lanes=4)
    for verify in Verify
    for bandwidth in (None, Bytes(64 * 1024**2))
]


class TransferPromises(TransferFixtures):
    """Copies from `source` to `site`, with every kind of proof."""

    @pytest.fixture
    def pair(
        self, site: ImageStoreDoors, source: ImageStoreDoors, data: bytes, terms: Terms
    ) -> Pair:
        source.put(IMAGE, data)
        image = source.image(IMAGE, data, source.name)
        return Pair(site, source, image, data, terms)

    @pytest.mark.parametrize("agreed", _AGREED, ids=str)
    def test_every_byte_arrives(self, pair: Pair, agreed: Terms) -> None:
        pair = replace(pair, terms=replace(agreed, chunk=Bytes(self.CHUNK)))
        shelf = Shelf()
        found = pair.copy(shelf)
        assert found == {pair.site.name: pair.site.location(IMAGE)}
        assert shelf.listed == {pair.site.name: pair.site.location(IMAGE)}
        assert pair.site.content(IMAGE) == pair.data
        assert pair.site.taken(IMAGE) <= 6 * self.UNIT

    def test_flipped_byte_of_the_source_is_refused(self, pair: Pair) -> None:
        before = pair.site.names()
        pair.source.remove(IMAGE)
        pair.source.put(IMAGE, _flipped(pair.data, 5 * self.UNIT))
        shelf = Shelf()
        found = pair.copy(shelf)[pair.site.name]
        assert isinstance(found, CopyFailedError)
        assert str(pair.image.hash).partition(":")[2][:12] in str(found)
        assert f"store {pair.source.name} (" in str(found)
        assert not shelf.listed
        assert pair.site.names() == before

    @pytest.mark.parametrize("verify", [Verify.IMAGE, Verify.TRANSFER])
    @pytest.mark.parametrize("unit", [0, 3, 5], ids=["data", "hole", "middle"])
    def test_flipped_byte_of_the_target_is_refused(
        self, pair: Pair, verify: Verify, unit: int
    ) -> None:
        before = pair.site.names()
        done: list[str] = []

        def scribble(step: str) -> None:
            # After it was written, before it is looked at.
            looked_at = step in ("differing", "read", "extents")
            if looked_at and not done and {"write done", "take done"} & set(seen):
                done.append(step)
                pair.site.scribble(IMAGE, unit * self.UNIT + 5, b"flip")
            seen.append(step)

        seen: list[str] = []
        pair = pair.with_terms(verify=verify)
        found = pair.copy(Shelf(), target_step=scribble)
        assert done
        assert isinstance(found[pair.site.name], CopyFailedError)
        for store in (pair.site, pair.source):
            assert f"store {store.name} " in str(found[pair.site.name])
        assert pair.site.names() == before

    @pytest.mark.parametrize("verify", Verify)
    def test_killed_at_any_step_and_gone_on_with(
        self, pair: Pair, verify: Verify
    ) -> None:
        pair = pair.with_terms(verify=verify, lanes=1)
        for step in itertools.count(1):
            countdown = Countdown(step, KilledError())
            try:
                pair.copy(Shelf(), target_step=countdown)
            except KilledError:
                died = True
            else:
                died = False
            shelf = Shelf()
            if died:
                pair.copy(shelf, again=True)
                assert shelf.listed == {pair.site.name: pair.site.location(IMAGE)}
            assert pair.site.content(IMAGE) == pair.data
            assert pair.site.kept(IMAGE) == 0
            pair.site.remove(IMAGE)
            assert not [name for name in pair.site.names() if IMAGE in name]
            if not died:
                break
        assert step > 5

    def test_failing_at_any_step_leaves_nothing(self, pair: Pair) -> None:
        before = pair.site.names()
        pair = pair.with_terms(lanes=1)
        for step in itertools.count(1):
            fault = _Once(step, ConflictError("no"))
            found = pair.copy(Shelf(), target_step=fault)
            outcome = found[pair.site.name]
            if isinstance(outcome, Location):
                assert pair.site.content(IMAGE) == pair.data
                pair.site.remove(IMAGE)
            else:
                assert pair.site.content(IMAGE) is None
            assert pair.site.names() - before == set(), fault.steps
            if len(fault.steps) < step:
                break
        assert step > 5

    def test_unavailable_at_any_step_and_gone_on_with(self, pair: Pair) -> None:
        before = pair.site.names()
        pair = pair.with_terms(lanes=1)
        for step in itertools.count(1):
            fault = _Once(step, UnavailableError("no answer"), silent=())
            shelf = Shelf()
            found = pair.copy(shelf, target_step=fault)
            if not isinstance(found[pair.site.name], Location):
                assert not shelf.listed
                pair.copy(shelf, again=True)
            assert shelf.listed == {pair.site.name: pair.site.location(IMAGE)}
            assert pair.site.content(IMAGE) == pair.data
            assert pair.site.kept(IMAGE) == 0
            pair.site.remove(IMAGE)
            assert pair.site.names() - before == set(), fault.steps
            if len(fault.steps) < step:
                break
        assert step > 5

    def test_refused_by_glance_it_is_taken_back(self, pair: Pair) -> None:
        before = pair.site.names()
        refusal = CopyFailedError("image is deleted")

        def refuse(_store: StoreName, _location: Location) -> None:
            raise refusal

        copies = pair.transfer()
        found = copies.copy(
            pair.image, [pair.site.name], all_or_none=False, register=refuse
        )
        assert found == {pair.site.name: refusal}
        assert pair.site.names() == before

    def test_leftover_in_the_way(self, pair: Pair) -> None:
        pair.site.put_leftover(IMAGE, pattern(8, self.UNIT))
        pair.copy(Shelf())
        assert pair.site.content(IMAGE) == pair.data
        assert pair.site.kept(IMAGE) == 1
        pair.site.forget_kept(IMAGE)


class _Once:
    """A step that fails once; those that have taken effect do not, where `silent`."""

    def __init__(
        self,
        at: int,
        error: CowpathError,
        silent: tuple[str, ...] = ("draft done", "publish done"),
    ) -> None:
        self._at = at
        self._error = error
        self._silent = silent
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        if step in self._silent:
            return
        self.steps.append(step)
        if len(self.steps) == self._at:
            raise self._error


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
