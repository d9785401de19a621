"""What every Catalog must do, real or simulated.

Subclass `CatalogSuite` as `Test…` and give it `CatalogDoors`; pytest does the rest.
"""

import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from cowpath.core.errors import (
    AmbiguousError,
    ForbiddenError,
    NotFoundError,
    UnsuitableError,
    UsageError,
)
from cowpath.core.model import CopyAnswer, Image, ImageId, Seconds, StoreName
from cowpath.core.ports import Clock
from cowpath.testing.catalog_doors import LARGE, SMALL, CatalogDoors

NAME = "suite-"
"""Every image that the suite makes has a name that begins like this."""

ODD_NAMES = (
    "a b",
    " blanks ",
    "a,b",
    'quo"te',
    '"quoted"',
    "apo'strophe",
    "back\\slash",
    "debian:12",
    "in:a,b",
    "2026-01-01T00:00:00+00:00",
    "100%",
    "%41",
    "a+b&c=d?e#f/g;h",
    "snow\N{SNOWMAN}\N{LATIN SMALL LETTER E WITH ACUTE}",
    "<b>*_%",
)
"""Names that a filter, a URL or a database may take for something else."""


class CatalogSuite(ABC):
    """What every catalog promises."""

    @pytest.fixture
    @abstractmethod
    def glance(self) -> CatalogDoors | Iterator[CatalogDoors]:
        """Give an image service and its doors."""

    # Reading.

    def test_an_image_is_described(self, glance: CatalogDoors) -> None:
        """What Glance knows of an image is told as it is."""
        name = _name()
        image = glance.catalog.get(glance.upload(name, size=SMALL))
        assert (image.name, image.status, image.disk_format) == (name, "active", "raw")
        assert (image.size, image.visibility) == (SMALL, "public")
        assert image.stores == {glance.default_store}
        assert image.hash
        assert ":" in image.hash
        assert image.created
        _assert_at_rest(image)

    def test_its_locations_name_their_store(self, glance: CatalogDoors) -> None:
        """Where locations are shown, each says in which store it lies."""
        image = glance.catalog.get(glance.upload(_name()))
        assert {place.store for place in image.locations} <= {glance.default_store}
        assert all(image.id in place.url for place in image.locations)

    def test_an_image_without_data_is_described(self, glance: CatalogDoors) -> None:
        """Nothing is made up for an image that was only announced."""
        image = glance.catalog.get(glance.announce(_name()))
        assert (image.status, image.size) == ("queued", None)
        assert not image.stores
        assert image.hash is None

    def test_an_unknown_id_is_not_found(self, glance: CatalogDoors) -> None:
        """The message names it."""
        nobody = _unknown()
        with pytest.raises(NotFoundError, match=nobody):
            glance.catalog.get(nobody)
        with pytest.raises(NotFoundError, match=nobody):
            glance.catalog.find(nobody)

    def test_a_deleted_image_is_not_found(self, glance: CatalogDoors) -> None:
        """However it is asked for."""
        image = glance.upload(_name())
        glance.delete(image)
        with pytest.raises(NotFoundError, match=image):
            glance.catalog.get(image)
        with pytest.raises(NotFoundError, match=image):
            glance.catalog.copy(image, [glance.edge])
        assert image not in {found.id for found in glance.catalog.images()}

    def test_a_private_image_of_others_is_not_found(self, glance: CatalogDoors) -> None:
        """To a member it is as if it were not there."""
        name = _name()
        image = glance.upload(name, visibility="private")
        assert glance.catalog.get(image).visibility == "private"
        with pytest.raises(NotFoundError, match=image):
            glance.member.get(image)
        with pytest.raises(NotFoundError, match=name):
            glance.member.find(name)
        with pytest.raises(NotFoundError, match=image):
            glance.member.copy(image, [glance.edge])
        assert image not in {found.id for found in glance.member.images()}

    def test_a_community_image_of_others_is_got_but_not_listed(
        self, glance: CatalogDoors
    ) -> None:
        """Whoever knows its id may have it; names and lists are one's own."""
        name = _name()
        image = glance.upload(name, visibility="community")
        assert glance.member.get(image).visibility == "community"
        assert glance.member.find(image).id == image
        with pytest.raises(NotFoundError, match=name):
            glance.member.find(name)
        assert image not in {found.id for found in glance.member.images()}
        with pytest.raises(ForbiddenError, match=image):
            glance.member.copy(image, [glance.edge])
        assert glance.catalog.find(name).id == image
        assert image in {found.id for found in glance.catalog.images()}

    def test_a_member_reads_public_images(self, glance: CatalogDoors) -> None:
        """Reading needs no special role."""
        name = _name()
        image = glance.upload(name)
        assert glance.member.get(image).id == image
        assert glance.member.find(name).id == image
        assert glance.member.stores() == glance.catalog.stores()

    def test_images_yields_each_once(self, glance: CatalogDoors) -> None:
        """Pages or not."""
        mine = {glance.upload(_name()) for _ in range(3)}
        seen = Counter(image.id for image in glance.catalog.images())
        assert {image: seen[image] for image in mine} == dict.fromkeys(mine, 1)

    def test_stores_begin_with_the_default(self, glance: CatalogDoors) -> None:
        """The others follow."""
        stores = glance.catalog.stores()
        assert stores[0] == glance.default_store
        assert {glance.edge, glance.similar} < {*stores}

    def test_reading_is_safe_from_several_threads(self, glance: CatalogDoors) -> None:
        """One catalog serves them all."""
        image = glance.upload(_name())
        catalog = glance.catalog
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(catalog.get, [image] * 32))
        assert {one.id for one in found} == {image}

    def test_idle_tells_how_long_nothing_changed(self, glance: CatalogDoors) -> None:
        """By Glance's own clock, in whole seconds; looking changes nothing."""
        image = glance.upload(_name())
        before = _idle(glance.catalog.get(image))
        glance.clock.sleep(_LONG)
        after = _idle(glance.catalog.get(image))
        assert after >= before + _LONG - 1
        assert _idle(glance.catalog.find(image)) >= after
        listed = {found.id: found for found in glance.catalog.images()}
        assert _idle(listed[image]) >= after

    # Finding.

    def test_find_takes_an_id_or_a_name(self, glance: CatalogDoors) -> None:
        """And returns what `get` returns."""
        name = _name()
        image = glance.upload(name)
        assert glance.catalog.find(image) == glance.catalog.find(name)
        assert glance.catalog.find(name) == glance.catalog.get(image)

    @pytest.mark.parametrize("odd", ODD_NAMES)
    def test_find_takes_names_literally(self, glance: CatalogDoors, odd: str) -> None:
        """No character of a name means anything."""
        name = f"{_name()}{odd}"
        image = glance.upload(name)
        assert glance.catalog.find(name).id == image

    @pytest.mark.parametrize(
        "ref", ["", "*", "%", "in:", "eq:", "\N{GRINNING FACE}", "\udcff", "x" * 256]
    )
    def test_find_of_odd_unknown_names_is_not_found(
        self, glance: CatalogDoors, ref: str
    ) -> None:
        """Names that no image can have, and patterns, match nothing."""
        glance.upload(_name())
        with pytest.raises(NotFoundError):
            glance.catalog.find(ref)

    def test_find_compares_whole_names_and_case(self, glance: CatalogDoors) -> None:
        """Databases may not; we do."""
        name = f"{_name()}-Debian"
        glance.upload(name)
        for other in (name[:-1], f"{name}x", name.lower(), f"{name} "):
            with pytest.raises(NotFoundError):
                glance.catalog.find(other)

    def test_find_lists_the_ids_of_an_ambiguous_name(
        self, glance: CatalogDoors
    ) -> None:
        """So that the caller can choose one."""
        name = _name()
        twins = [glance.upload(name), glance.upload(name)]
        with pytest.raises(AmbiguousError) as caught:
            glance.catalog.find(name)
        assert all(twin in str(caught.value) for twin in twins)
        assert glance.catalog.find(twins[0]).id == twins[0]

    def test_find_takes_a_name_that_looks_like_an_id(
        self, glance: CatalogDoors
    ) -> None:
        """Nothing keeps people from such names."""
        name = str(uuid.uuid4())
        image = glance.upload(name)
        assert glance.catalog.find(name).id == image

    # Copying.

    def test_a_copy_locks_then_lands(self, glance: CatalogDoors) -> None:
        """The lock shows at once; at the end nothing of the copy is left."""
        image = glance.upload(_name(), size=LARGE)
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        assert glance.catalog.get(image).lock
        after = _ended(glance, image)
        assert after.stores == {glance.default_store, glance.edge}
        _assert_at_rest(after)

    def test_similar_store_names_are_not_confused(self, glance: CatalogDoors) -> None:
        """`edge1` is not `edge10`."""
        image = glance.upload(_name())
        assert glance.catalog.copy(image, [glance.similar]) is CopyAnswer.ACCEPTED
        assert _ended(glance, image).stores == {glance.default_store, glance.similar}
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        assert glance.edge in _ended(glance, image).stores

    def test_where_it_is_already_nothing_happens(self, glance: CatalogDoors) -> None:
        """Present is an answer, not an error."""
        image = glance.upload(_name())
        assert glance.catalog.copy(image, [glance.default_store]) is CopyAnswer.PRESENT
        _assert_at_rest(glance.catalog.get(image))

    def test_one_import_per_image_whatever_the_store(
        self, glance: CatalogDoors
    ) -> None:
        """Busy is an answer, not an error; even where it is already."""
        image = glance.upload(_name(), size=LARGE)
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.BUSY
        assert glance.catalog.copy(image, [glance.similar]) is CopyAnswer.BUSY
        assert glance.catalog.copy(image, [glance.default_store]) is CopyAnswer.BUSY
        assert _ended(glance, image).stores == {glance.default_store, glance.edge}
        assert glance.catalog.copy(image, [glance.similar]) is CopyAnswer.ACCEPTED
        assert glance.similar in _ended(glance, image).stores

    def test_of_many_at_once_one_is_accepted(self, glance: CatalogDoors) -> None:
        """Whoever asks."""
        image = glance.upload(_name(), size=LARGE)
        catalog = glance.catalog
        targets = [glance.edge, glance.similar] * 4
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda store: catalog.copy(image, [store]), targets)
            )
        told = Counter(zip(targets, answers, strict=True))
        taken = {store for store, said in told if said is CopyAnswer.ACCEPTED}
        # One, unless its copy was over before the last of them asked.
        assert taken
        assert all(told[store, CopyAnswer.ACCEPTED] == 1 for store in taken)
        arrived = _ended(glance, image).stores - {glance.default_store}
        assert arrived
        assert arrived == taken or (glance.loses_tasks and arrived < taken)

    def test_an_unknown_store_is_named_with_those_there_are(
        self, glance: CatalogDoors
    ) -> None:
        """The usual cause is a typing error in the configuration."""
        image = glance.upload(_name())
        with pytest.raises(NotFoundError) as caught:
            glance.catalog.copy(image, [StoreName("nosuch")])
        text = str(caught.value)
        assert all(word in text for word in ("nosuch", image, *glance.catalog.stores()))
        _assert_at_rest(glance.catalog.get(image))

    def test_copying_an_unknown_image_is_not_found(self, glance: CatalogDoors) -> None:
        """The message names it."""
        nobody = _unknown()
        with pytest.raises(NotFoundError, match=nobody):
            glance.catalog.copy(nobody, [glance.edge])

    def test_a_member_may_not_copy(self, glance: CatalogDoors) -> None:
        """By Glance's default policy, which the message names."""
        image = glance.upload(_name())
        with pytest.raises(ForbiddenError, match="copy_image") as caught:
            glance.member.copy(image, [glance.edge])
        assert image in str(caught.value)
        _assert_at_rest(glance.catalog.get(image))

    def test_only_active_images_are_copied(self, glance: CatalogDoors) -> None:
        """Neither deactivated nor empty ones."""
        sleeping, empty = glance.upload(_name()), glance.announce(_name())
        glance.deactivate(sleeping)
        assert glance.catalog.get(sleeping).status == "deactivated"
        for image in (sleeping, empty):
            with pytest.raises(UnsuitableError, match=image):
                glance.catalog.copy(image, [glance.edge])

    def test_a_failure_is_listed_until_the_next_copy(
        self, glance: CatalogDoors
    ) -> None:
        """A leftover blocks a copy; the failure is news only once."""
        image = glance.upload(_name())
        glance.leave_partial(image, glance.edge)
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        failed = _ended(glance, image)
        assert failed.failed == {glance.edge}
        assert not failed.importing
        assert failed.stores == {glance.default_store}
        glance.remove_partial(image, glance.edge)
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        after = _ended(glance, image)
        assert after.stores == {glance.default_store, glance.edge}
        _assert_at_rest(after)

    def test_one_request_serves_several_stores(self, glance: CatalogDoors) -> None:
        """The lock is one; at the end nothing of the copy is left."""
        image = glance.upload(_name())
        stores = [glance.edge, glance.similar]
        assert glance.catalog.copy(image, stores) is CopyAnswer.ACCEPTED
        after = _ended(glance, image)
        assert after.stores == {glance.default_store, *stores}
        _assert_at_rest(after)

    def test_a_store_named_twice_is_asked_for_once(self, glance: CatalogDoors) -> None:
        """Glance itself would lock the image for an hour."""
        image = glance.upload(_name())
        stores = [glance.edge, glance.similar, glance.edge]
        assert glance.catalog.copy(image, stores) is CopyAnswer.ACCEPTED
        assert _ended(glance, image).stores == {glance.default_store, *stores}

    def test_a_copy_to_no_store_is_not_asked_for(self, glance: CatalogDoors) -> None:
        """Glance itself would take it, and do nothing."""
        image = glance.upload(_name())
        with pytest.raises(UsageError, match=image):
            glance.catalog.copy(image, [])
        _assert_at_rest(glance.catalog.get(image))

    def test_present_in_one_of_several_nothing_happens(
        self, glance: CatalogDoors
    ) -> None:
        """The whole request is off, whichever place it has in it."""
        image = glance.upload(_name())
        for stores in (
            [glance.default_store, glance.edge],
            [glance.edge, glance.default_store],
        ):
            assert glance.catalog.copy(image, stores) is CopyAnswer.PRESENT
        after = glance.catalog.get(image)
        assert after.stores == {glance.default_store}
        _assert_at_rest(after)

    def test_an_unknown_store_among_several_is_named(
        self, glance: CatalogDoors
    ) -> None:
        """And the others are not copied to."""
        image = glance.upload(_name())
        with pytest.raises(NotFoundError, match="no store nosuch") as caught:
            glance.catalog.copy(image, [glance.edge, StoreName("nosuch")])
        assert image in str(caught.value)
        after = glance.catalog.get(image)
        assert after.stores == {glance.default_store}
        _assert_at_rest(after)

    @pytest.mark.parametrize("first", [True, False])
    def test_a_store_that_fails_does_not_keep_the_others(
        self, glance: CatalogDoors, *, first: bool
    ) -> None:
        """Neither those after it nor those before it."""
        image = glance.upload(_name())
        glance.leave_partial(image, glance.edge)
        stores = [glance.edge, glance.similar]
        order = stores if first else stores[::-1]
        assert glance.catalog.copy(image, order) is CopyAnswer.ACCEPTED
        after = _ended(glance, image)
        assert after.stores == {glance.default_store, glance.similar}
        assert after.failed == {glance.edge}
        assert not after.importing
        glance.remove_partial(image, glance.edge)

    def test_a_copy_is_a_change(self, glance: CatalogDoors) -> None:
        """It shows in `idle`."""
        image = glance.upload(_name())
        glance.clock.sleep(_LONG)
        idle = _idle(glance.catalog.get(image))
        assert glance.catalog.copy(image, [glance.edge]) is CopyAnswer.ACCEPTED
        _until(glance.clock, lambda: _idle(glance.catalog.get(image)) < idle)
        _ended(glance, image)

    # Economy.

    def test_one_call_is_one_request(self, glance: CatalogDoors) -> None:
        """No discovery, no second look."""
        image = glance.upload(_name())
        catalog = glance.catalog
        calls: tuple[Callable[[], object], ...] = (
            lambda: catalog.get(image),
            lambda: catalog.find(image),
            lambda: catalog.copy(image, [glance.default_store]),
        )
        for call in calls:
            before = glance.requests_about(image)
            call()
            # An access log may be written a little after its reply.
            _until(glance.clock, partial(_grown, glance, image, before))
            assert glance.requests_about(image) == before + 1


_LONG: Seconds = 3
_LOOKS = 600
_BETWEEN_LOOKS = 0.1


def _grown(glance: CatalogDoors, image: ImageId, before: int) -> bool:
    return glance.requests_about(image) > before


def _ended(glance: CatalogDoors, image: ImageId) -> Image:
    """Wait until no import of the image runs, and return it."""
    _until(glance.clock, lambda: glance.catalog.get(image).lock is None)
    return glance.catalog.get(image)


def _until(clock: Clock, happened: Callable[[], bool]) -> None:
    for _ in range(_LOOKS):
        if happened():
            return
        clock.sleep(_BETWEEN_LOOKS)
    pytest.fail(f"it did not happen within {_LOOKS * _BETWEEN_LOOKS:g} seconds")


def _idle(image: Image) -> Seconds:
    assert image.idle is not None
    assert image.idle >= 0
    return image.idle


def _name() -> str:
    return f"{NAME}{uuid.uuid4().hex[:12]}"


def _unknown() -> ImageId:
    return ImageId(str(uuid.uuid4()))


def _assert_at_rest(image: Image) -> None:
    assert image.lock is None
    assert not image.importing | image.failed
