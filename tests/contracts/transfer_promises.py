"""What copying promises, whichever two stores it is done between."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

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


_AGREED = [
    Terms(verify, bandwidth, lanes=4)
    for verify in Verify
    for bandwidth in (None, Bytes(64 * 1024**2))
]


class TransferPromises(TransferFixtures):
    """Copies from `source` to `site`, with every kind of proof."""

    @pytest.fixture
    def image(
        self, site: ImageStoreDoors, source: ImageStoreDoors, data: bytes
    ) -> Image:
        del site
        source.put(IMAGE, data)
        return source.image(IMAGE, data, source.name)

    @pytest.mark.parametrize("agreed", _AGREED, ids=str)
    def test_every_byte_arrives(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        agreed: Terms,
    ) -> None:
        terms = replace(agreed, chunk=Bytes(self.CHUNK))
        shelf = Shelf()
        found = _copy((site, source), image, terms, shelf)
        assert found == {site.name: site.location(IMAGE)}
        assert shelf.listed == {site.name: site.location(IMAGE)}
        assert site.content(IMAGE) == data
        assert site.taken(IMAGE) <= 6 * self.UNIT

    def test_flipped_byte_of_the_source_is_refused(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        terms: Terms,
    ) -> None:
        before = site.names()
        source.remove(IMAGE)
        source.put(IMAGE, _flipped(data, 5 * self.UNIT))
        shelf = Shelf()
        found = _copy((site, source), image, terms, shelf)[site.name]
        assert isinstance(found, CopyFailedError)
        assert str(image.hash).partition(":")[2][:12] in str(found)
        assert f"store {source.name} (" in str(found)
        assert not shelf.listed
        assert site.names() == before

    @pytest.mark.parametrize("verify", [Verify.IMAGE, Verify.TRANSFER])
    @pytest.mark.parametrize("unit", [0, 3, 5], ids=["data", "hole", "middle"])
    def test_flipped_byte_of_the_target_is_refused(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        terms: Terms,
        verify: Verify,
        unit: int,
    ) -> None:
        before = site.names()
        done: list[str] = []

        def scribble(step: str) -> None:
            # After it was written, before it is looked at.
            looked_at = step in ("differing", "read", "extents")
            if looked_at and not done and {"write done", "take done"} & set(seen):
                done.append(step)
                site.scribble(IMAGE, unit * self.UNIT + 5, b"flip")
            seen.append(step)

        seen: list[str] = []
        terms = replace(terms, verify=verify)
        found = _copy((site, source), image, terms, Shelf(), target_step=scribble)
        assert done
        assert isinstance(found[site.name], CopyFailedError)
        for store in (site, source):
            assert f"store {store.name} " in str(found[site.name])
        assert site.names() == before

    @pytest.mark.parametrize("verify", Verify)
    def test_killed_at_any_step_and_gone_on_with(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        terms: Terms,
        verify: Verify,
    ) -> None:
        terms = replace(terms, verify=verify, lanes=1)
        for step in itertools.count(1):
            countdown = Countdown(step, KilledError())
            try:
                _copy((site, source), image, terms, Shelf(), target_step=countdown)
            except KilledError:
                died = True
            else:
                died = False
            shelf = Shelf()
            if died:
                _copy((site, source), image, terms, shelf, again=True)
                assert shelf.listed == {site.name: site.location(IMAGE)}
            assert site.content(IMAGE) == data
            assert site.kept(IMAGE) == 0
            site.remove(IMAGE)
            assert not [name for name in site.names() if IMAGE in name]
            if not died:
                break
        assert step > 5

    def test_failing_at_any_step_leaves_nothing(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        terms: Terms,
    ) -> None:
        before = site.names()
        terms = replace(terms, lanes=1)
        for step in itertools.count(1):
            fault = _Once(step, ConflictError("no"))
            found = _copy((site, source), image, terms, Shelf(), target_step=fault)
            outcome = found[site.name]
            if isinstance(outcome, Location):
                assert site.content(IMAGE) == data
                site.remove(IMAGE)
            else:
                assert site.content(IMAGE) is None
            assert site.names() - before == set(), fault.steps
            if len(fault.steps) < step:
                break
        assert step > 5

    def test_unavailable_at_any_step_and_gone_on_with(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        terms: Terms,
    ) -> None:
        before = site.names()
        terms = replace(terms, lanes=1)
        for step in itertools.count(1):
            fault = _Once(step, UnavailableError("no answer"), silent=())
            shelf = Shelf()
            found = _copy((site, source), image, terms, shelf, target_step=fault)
            if not isinstance(found[site.name], Location):
                assert not shelf.listed
                _copy((site, source), image, terms, shelf, again=True)
            assert shelf.listed == {site.name: site.location(IMAGE)}
            assert site.content(IMAGE) == data
            assert site.kept(IMAGE) == 0
            site.remove(IMAGE)
            assert site.names() - before == set(), fault.steps
            if len(fault.steps) < step:
                break
        assert step > 5

    def test_refused_by_glance_it_is_taken_back(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        terms: Terms,
    ) -> None:
        before = site.names()
        refusal = CopyFailedError("image is deleted")

        def refuse(_store: StoreName, _location: Location) -> None:
            raise refusal

        copies = _transfer(site, source, terms)
        found = copies.copy(image, [site.name], all_or_none=False, register=refuse)
        assert found == {site.name: refusal}
        assert site.names() == before

    def test_leftover_in_the_way(
        self,
        site: ImageStoreDoors,
        source: ImageStoreDoors,
        image: Image,
        data: bytes,
        terms: Terms,
    ) -> None:
        site.put_leftover(IMAGE, pattern(8, self.UNIT))
        _copy((site, source), image, terms, Shelf())
        assert site.content(IMAGE) == data
        assert site.kept(IMAGE) == 1
        site.forget_kept(IMAGE)


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


def _transfer(
    site: ImageStoreDoors,
    source: ImageStoreDoors,
    terms: Terms,
    target_step: Step | None = None,
    *,
    again: bool = False,
) -> Transfer:
    target: ImageStore = site.another() if again else site.store
    if target_step:
        target = StepStore(target, target_step)
    stores = {site.name: target, source.name: source.store}
    return Transfer(stores, {}, lambda _from, _to: terms, FakeClock(), Notes())


def _copy(
    doors: tuple[ImageStoreDoors, ImageStoreDoors],
    image: Image,
    terms: Terms,
    shelf: Shelf,
    target_step: Step | None = None,
    *,
    again: bool = False,
) -> Outcomes:
    site, source = doors
    return _transfer(site, source, terms, target_step, again=again).copy(
        image,
        [site.name],
        all_or_none=True,
        register=shelf.add,
        unregister=shelf.drop,
    )
