"""What every store promises of leftovers; a part of the store suite."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    NotFoundError,
    UsageError,
)
from cowpath.core.model import Disk, Image, ImageId, Leftover, disk_name
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import (
    IMAGE,
    OTHER,
    SIZE,
    StoreFixtures,
    base_of,
    known,
)

_PART = SIZE // 2

_Put = Callable[[StoreDoors], None]


def _partial(site: StoreDoors) -> None:
    site.put_leftover(IMAGE, _PART)


def _refused(site: StoreDoors) -> None:
    site.put_refused(IMAGE, SIZE)


_each_kind = pytest.mark.parametrize("put", [_partial, _refused])


class LeftoversPromises(StoreFixtures):
    """What every store promises of what broken copies left in it."""

    # Looking

    def test_where_nothing_lies_there_is_no_leftover(self, site: StoreDoors) -> None:
        """Also beside another image's."""
        assert site.store.leftover(_image(site)) is None
        site.put_leftover(OTHER, _PART)
        assert site.store.leftover(_image(site)) is None

    @_each_kind
    def test_leftover_is_shown(self, site: StoreDoors, put: _Put) -> None:
        """Whole or not: what it is, how large, and how to take it away by hand."""
        put(site)
        before = site.everything()
        found = _leftover(site)
        assert found.image == IMAGE
        assert IMAGE in found.where
        assert IMAGE in found.cure
        assert 0 < found.present <= SIZE
        assert site.another().leftover(_image(site)) == found
        assert site.everything() == before

    def test_leftover_of_unknown_size_is_shown(self, site: StoreDoors) -> None:
        """It is there, whatever Glance says of the image."""
        site.put_leftover(IMAGE, _PART)
        for size in (None, 0, _PART, 2 * SIZE):
            image = site.image(IMAGE, size, shown=False)
            assert site.store.leftover(image) is not None

    def test_partial_leftover_is_no_base(self, site: StoreDoors) -> None:
        """Nobody makes a disk of it."""
        site.put_leftover(IMAGE, _PART)
        assert site.store.find_base(_image(site)) is None

    # Setting aside

    @_each_kind
    def test_leftover_is_set_aside(self, site: StoreDoors, put: _Put) -> None:
        """Out of Glance's way, and kept; the answer says of which image."""
        put(site)
        assert site.kept(IMAGE) == 0
        said = site.store.set_aside(_leftover(site), _yes)
        assert IMAGE in said
        _check_gone(site)
        assert site.kept(IMAGE) == 1

    def test_glance_is_asked_once_before_anything_moves(self, site: StoreDoors) -> None:
        """Its word at that moment decides, while the thing is still there."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        seen: list[tuple[Leftover | None, int]] = []

        def confirm() -> None:
            seen.append((site.store.leftover(_image(site)), site.kept(IMAGE)))

        site.store.set_aside(found, confirm)
        assert seen == [(found, 0)]

    @pytest.mark.parametrize("error", [ConflictError("x"), KeyError("x")])
    def test_glance_may_refuse(self, site: StoreDoors, error: Exception) -> None:
        """Then nothing moves, and its error is the answer."""
        site.put_leftover(IMAGE, _PART)
        found, before = _leftover(site), site.everything()

        def refuse() -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            site.store.set_aside(found, refuse)
        assert caught.value is error
        assert site.everything() == before
        assert _leftover(site) == found

    @_each_kind
    def test_image_can_be_copied_again(
        self, site: StoreDoors, data: bytes, put: _Put
    ) -> None:
        """That is what it is for; and disks have the new bytes."""
        put(site)
        site.store.set_aside(_leftover(site), _yes)
        again = base_of(site, IMAGE, data)
        assert site.read(site.store.clone(again, disk_name("a"))) == data
        assert site.kept(IMAGE) == 1

    @_each_kind
    def test_answer_restores_it(self, site: StoreDoors, put: _Put) -> None:
        """As it was, and nothing lies aside any more."""
        put(site)
        found, before = _leftover(site), site.everything()
        site.restore(site.store.set_aside(found, _yes))
        assert site.everything() == before
        assert _leftover(site) == found
        assert site.kept(IMAGE) == 0

    def test_no_second_one_is_set_aside(self, site: StoreDoors) -> None:
        """Where copies break again and again, they would fill the store unseen."""
        site.put_leftover(IMAGE, _PART)
        site.store.set_aside(_leftover(site), _yes)
        site.put_refused(IMAGE, SIZE)
        found, before = _leftover(site), site.everything()
        with pytest.raises(ConflictError, match=IMAGE) as caught:
            site.another().set_aside(found, _never)
        assert not isinstance(caught.value, BusyError)
        assert site.everything() == before
        assert site.kept(IMAGE) == 1
        site.forget_kept(IMAGE)
        site.store.set_aside(found, _yes)
        assert site.kept(IMAGE) == 1

    def test_each_image_has_its_own_leftover_aside(self, site: StoreDoors) -> None:
        """None takes the place of another's, or keeps it from being moved."""
        for image in (OTHER, IMAGE):
            site.put_leftover(image, _PART)
            asked = replace(_image(site), id=image)
            found = site.store.leftover(asked)
            assert found is not None
            site.store.set_aside(found, _yes)
        assert (site.kept(IMAGE), site.kept(OTHER)) == (1, 1)

    def test_other_images_and_disks_are_untouched(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Theirs is another name."""
        base = base_of(site, OTHER, data)
        disk = site.store.clone(base, disk_name("a"))
        site.put_leftover(IMAGE, _PART)
        site.store.set_aside(_leftover(site), _yes)
        assert site.store.find_base(site.image(OTHER, SIZE)) == base
        assert known(site, disk) == disk
        assert site.read(disk) == data
        assert site.kept(OTHER) == 0

    # Refusals

    def test_what_a_disk_lies_on_stays(self, site: StoreDoors, data: bytes) -> None:
        """Whole, and somebody has made a disk of it: it is needed."""
        base = base_of(site, IMAGE, data)
        disk = site.store.clone(base, disk_name("a"))
        found, before = _leftover(site), site.everything()
        with pytest.raises(ConflictError, match=IMAGE):
            site.store.set_aside(found, _yes)
        assert site.everything() == before
        assert site.read(disk) == data
        assert site.kept(IMAGE) == 0

    def test_what_is_gone_is_not_found(self, site: StoreDoors) -> None:
        """Somebody else took it away."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        site.store.set_aside(found, _yes)
        before = site.everything()
        with pytest.raises(NotFoundError, match=IMAGE):
            site.store.set_aside(found, _never)
        assert site.everything() == before

    def test_what_came_in_its_place_stays(self, site: StoreDoors) -> None:
        """Only what the caller saw is moved."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        site.remove(IMAGE)
        site.put_refused(IMAGE, 2 * SIZE)
        _check_refused(site, found)

    @pytest.mark.parametrize("news", [_partial, _refused])
    def test_what_replaces_it_while_glance_is_asked_stays(
        self, site: StoreDoors, news: _Put
    ) -> None:
        """Glance may have begun anew; also where nothing seems to have changed."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        replaced: list[object] = []

        def replace_it() -> None:
            site.remove(IMAGE)
            news(site)
            replaced.append(site.everything())

        with pytest.raises((NotFoundError, ConflictError)):
            site.store.set_aside(found, replace_it)
        assert replaced == [site.everything()]
        assert site.kept(IMAGE) == 0

    def test_what_goes_while_glance_is_asked_is_not_found(
        self, site: StoreDoors
    ) -> None:
        """Somebody else was first."""
        site.put_leftover(IMAGE, _PART)
        with pytest.raises(NotFoundError, match=IMAGE):
            site.store.set_aside(_leftover(site), lambda: site.remove(IMAGE))
        assert site.kept(IMAGE) == 0

    def test_disks_are_made_while_glance_is_asked(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Glance may answer late: nobody waits for that."""
        base = base_of(site, OTHER, data)
        site.put_leftover(IMAGE, _PART)
        made: list[Disk] = []

        def confirm() -> None:
            made.append(site.another().clone(base, disk_name("a")))

        site.store.set_aside(_leftover(site), confirm)
        assert made == [known(site, made[0])]
        assert site.kept(IMAGE) == 1

    def test_leftover_of_another_store_is_left_alone(self, site: StoreDoors) -> None:
        """`where` is part of what a leftover is."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        for where in ("store far-away", "/etc/passwd", found.where + "x"):
            _check_refused(site, replace(found, where=where))

    @pytest.mark.parametrize("hostile", ["", "..", "../" + IMAGE, IMAGE + "\n"])
    def test_ids_that_are_none_lead_nowhere(
        self, site: StoreDoors, hostile: str
    ) -> None:
        """Whatever their type says."""
        site.put_leftover(IMAGE, _PART)
        found, bad = _leftover(site), ImageId(hostile)
        before = site.everything()
        with pytest.raises(UsageError):
            site.store.leftover(replace(_image(site), id=bad))
        with pytest.raises((UsageError, NotFoundError)):
            site.store.set_aside(replace(found, image=bad), _never)
        assert site.everything() == before

    def test_one_of_two_sets_it_aside(self, site: StoreDoors) -> None:
        """The other is told that it is gone, or being moved; nothing is lost."""
        site.put_leftover(IMAGE, _PART)
        found = _leftover(site)
        gate = threading.Barrier(2)

        def move(_: int) -> str | CowpathError:
            store = site.another()
            gate.wait(timeout=60)
            try:
                return store.set_aside(found, _yes)
            except CowpathError as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(move, range(2)))
        errors = [each for each in answers if isinstance(each, CowpathError)]
        assert len(errors) == 1
        assert not isinstance(errors[0], (ForbiddenError, UsageError))
        _check_gone(site)
        assert site.kept(IMAGE) == 1


def _image(site: StoreDoors) -> Image:
    """Return what Glance says of an image that it does not list here."""
    image = site.image(IMAGE, SIZE, shown=False)
    return replace(image, stores=frozenset())


def _leftover(site: StoreDoors) -> Leftover:
    found = site.store.leftover(_image(site))
    assert found is not None
    return found


def _yes() -> None:
    """Confirm."""


def _never() -> None:
    pytest.fail("asked about what is not there")


def _check_gone(site: StoreDoors) -> None:
    assert site.store.leftover(_image(site)) is None
    assert site.store.arrival(_image(site)) is None
    assert site.store.find_base(_image(site)) is None


def _check_refused(site: StoreDoors, leftover: Leftover) -> None:
    before = site.everything()
    with pytest.raises((NotFoundError, ConflictError)):
        site.store.set_aside(leftover, _yes)
    assert site.everything() == before
    assert site.kept(IMAGE) == 0
