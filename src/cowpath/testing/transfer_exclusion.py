"""Who else may be at a copy, what is left, what is removed: a part of the suite."""

from dataclasses import replace

import pytest

from cowpath.core.errors import (
    BusyError,
    ConflictError,
    NoSpaceError,
)
from cowpath.core.model import Image, Location
from cowpath.core.transfer import Terms
from cowpath.testing.store_fixtures import IMAGE, OTHER
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_doors import ImageStoreDoors
from cowpath.testing.transfer_fixtures import (
    ELSEWHERE,
    Loose,
    TransferFixtures,
    fill,
    whole,
)


class ExclusionPromises(TransferFixtures):
    """Who else may be at it, what is left, and what is removed."""

    def test_one_at_a_time(
        self, site: ImageStoreDoors, image: Image, terms: Terms
    ) -> None:
        """In this process and in others; another image is free."""
        other = replace(image, id=OTHER)
        with site.store.draft(image, terms) as draft:
            for store in (site.store, site.another()):
                opening = store.draft(image, terms)
                with pytest.raises(BusyError, match=IMAGE), opening:
                    pass
            with site.another().draft(other, terms) as free:
                free.discard()
            draft.discard()
        with site.another().draft(image, terms) as draft:
            draft.discard()

    def test_what_was_left_is_gone_on_with(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """By any process; the bytes are there still."""
        loose = Loose(data, terms.chunk)
        first, *rest = loose.extents()
        with site.store.draft(image, terms) as draft:
            draft.write(first, loose.read(first))
        assert site.content(IMAGE) is None
        with site.another().draft(image, terms) as draft:
            assert draft.resumed
            assert draft.read(first) == loose.read(first)
            for extent in rest:
                draft.write(extent, loose.read(extent))
            draft.publish()
        assert site.content(IMAGE) == data

    def test_discarded_draft_is_gone(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Nothing of it remains, and the next one begins anew."""
        before = site.names()
        with site.store.draft(image, terms) as draft:
            fill(draft, Loose(data, terms.chunk))
            draft.discard()
            draft.discard()
        assert site.names() == before
        assert site.arrival(image) is None
        with site.another().draft(image, terms) as draft:
            assert not draft.resumed
            assert whole(draft) == bytes(len(data))
            draft.discard()
        assert site.names() == before

    def test_leftover_of_glance_is_set_aside(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """It is not lost, and does not block the copy."""
        site.put_leftover(IMAGE, pattern(5, self.UNIT))
        publish_copy(site, image, data, terms)
        assert site.content(IMAGE) == data
        assert site.kept(IMAGE) == 1
        site.forget_kept(IMAGE)

    def test_what_came_meanwhile_is_not_replaced(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """It is set aside, or the copy is refused; the draft can be discarded."""
        other = pattern(6, len(data))
        with site.store.draft(image, terms) as draft:
            fill(draft, Loose(data, terms.chunk))
            site.put_leftover(IMAGE, other)
            try:
                draft.publish()
            except ConflictError:
                draft.discard()
                assert site.content(IMAGE) != data
            else:
                assert site.content(IMAGE) == data
                assert site.kept(IMAGE) == 1
        site.forget_kept(IMAGE)

    def test_store_that_has_it_takes_no_copy(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """It is no leftover: Glance lists it."""
        site.put(IMAGE, data)
        before = site.names()
        opening = site.store.draft(site.image(IMAGE, data, site.name), terms)
        with pytest.raises(ConflictError, match=IMAGE), opening:
            pass
        assert site.content(IMAGE) == data
        assert site.names() == before

    def test_place_that_glance_lists_takes_no_copy(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Under another store's name: two stores are in one place."""
        site.put(IMAGE, data)
        before = site.names()
        listed = Location(site.location(IMAGE).url, ELSEWHERE)
        opening = site.store.draft(replace(image, locations=(listed,)), terms)
        with pytest.raises(ConflictError, match=IMAGE), opening:
            pass
        assert site.content(IMAGE) == data
        assert site.names() == before

    @pytest.mark.parametrize("how", ["by store", "by place"])
    def test_copy_that_glance_lists_is_left_alone(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms, how: str
    ) -> None:
        """Our mark on it or not: its image says so."""
        publish_copy(site, image, data, terms)
        place = Location(site.location(IMAGE).url, ELSEWHERE)
        listed = (
            replace(image, stores=image.stores | {site.name})
            if how == "by store"
            else replace(image, locations=(place,))
        )
        with pytest.raises(ConflictError, match=IMAGE):
            site.store.withdraw(listed)
        with pytest.raises(ConflictError, match=IMAGE), site.store.draft(listed, terms):
            pass
        assert site.content(IMAGE) == data

    def test_absent_copy_may_be_listed(
        self, site: ImageStoreDoors, image: Image
    ) -> None:
        """Somebody may have removed it since."""
        before = site.names()
        site.store.listed(image)
        assert site.names() == before

    def test_copy_that_glance_lists_is_no_longer_ours(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Who has an older word of Glance neither takes it back nor removes it."""
        with site.store.draft(image, terms) as draft:
            fill(draft, Loose(data, terms.chunk))
            draft.publish()
            site.store.listed(image)
        site.another().listed(image)
        with pytest.raises(ConflictError, match=IMAGE):
            site.store.withdraw(image)
        assert site.content(IMAGE) == data

    def test_unlisted_copy_of_ours_is_a_draft_again(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Such as one of a process that was killed before Glance listed it."""
        publish_copy(site, image, data, terms)
        with site.store.draft(image, terms) as draft:
            assert draft.resumed
            assert whole(draft) == data
            assert site.content(IMAGE) is None
            assert draft.publish() == site.location(IMAGE)
        assert site.content(IMAGE) == data
        assert site.kept(IMAGE) == 0

    def test_unlisted_copy_with_a_disk_on_it_is_left_alone(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """The disk needs its bytes."""
        publish_copy(site, image, data, terms)
        remove_disk = site.clone(IMAGE)
        with pytest.raises(ConflictError), site.store.draft(image, terms):
            pass
        assert site.content(IMAGE) == data
        remove_disk()

    def test_copy_is_withdrawn(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Nothing of it remains; absent is fine."""
        before = site.names()
        site.store.withdraw(image)
        publish_copy(site, image, data, terms)
        site.store.withdraw(image)
        assert site.content(IMAGE) is None
        assert site.names() == before
        site.store.withdraw(image)
        assert site.names() == before

    def test_only_our_copy_is_withdrawn(
        self, site: ImageStoreDoors, image: Image, data: bytes
    ) -> None:
        """Another's bears no mark of ours."""
        site.put(IMAGE, data)
        before = site.names()
        with pytest.raises(ConflictError, match=IMAGE):
            site.store.withdraw(image)
        assert site.content(IMAGE) == data
        assert site.names() == before

    def test_copy_with_a_disk_on_it_is_not_withdrawn(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """The disk needs its bytes."""
        publish_copy(site, image, data, terms)
        remove_disk = site.clone(IMAGE)
        with pytest.raises(ConflictError, match=IMAGE):
            site.store.withdraw(image)
        assert site.content(IMAGE) == data
        remove_disk()
        site.store.withdraw(image)
        assert site.content(IMAGE) is None

    def test_full_store_says_so(self, tight: ImageStoreDoors, terms: Terms) -> None:
        """And is as it was, once the draft is discarded."""
        data = pattern(1, 8 * self.UNIT)
        image = tight.image(IMAGE, data, ELSEWHERE)
        with tight.store.draft(image, terms) as draft:
            tight.fill_up()
            with pytest.raises(NoSpaceError, match=IMAGE):
                fill(draft, Loose(data, terms.chunk))
            draft.discard()
        assert tight.content(IMAGE) is None
        assert not [name for name in tight.names() if IMAGE in name]


def publish_copy(
    site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
) -> None:
    """Have a copy of ours that Glance does not list."""
    with site.store.draft(image, terms) as draft:
        fill(draft, Loose(data, terms.chunk))
        draft.publish()
