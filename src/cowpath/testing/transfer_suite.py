"""Every promise of `core.transfer.ImageStore`, as tests that a store's class passes."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from cowpath.core.errors import (
    NotFoundError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import Bytes, Image, ImageId, Location
from cowpath.core.transfer import Extent, Terms
from cowpath.testing.store_bases import HOSTILE_IDS
from cowpath.testing.store_fixtures import IMAGE, OTHER
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_doors import ImageStoreDoors
from cowpath.testing.transfer_exclusion import ExclusionPromises, publish_copy
from cowpath.testing.transfer_fixtures import (
    Loose,
    TransferFixtures,
    bytes_of,
    fill,
    whole,
)


class OriginalPromises(TransferFixtures):
    """What every store promises of an image that is read."""

    @pytest.mark.parametrize("shown", [True, False])
    def test_all_bytes_are_read(
        self, site: ImageStoreDoors, data: bytes, terms: Terms, *, shown: bool
    ) -> None:
        """By extents and the zeros between them, as by whole."""
        site.put(IMAGE, data)
        image = site.image(IMAGE, data, site.name, shown=shown)
        with site.store.original(image, terms) as original:
            assert original.size == len(data)
            assert original.where
            assert bytes_of(original) == data
            assert whole(original) == data
            original.unchanged()

    def test_extents_are_in_order_apart_and_small(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """None is over a chunk, and none behind the end."""
        site.put(IMAGE, data)
        with site.store.original(site.image(IMAGE, data), terms) as original:
            extents = list(original.extents())
        pairs = itertools.pairwise(extents)
        assert all(one.end <= next_one.offset for one, next_one in pairs)
        assert all(0 < extent.length <= terms.chunk for extent in extents)
        assert extents[-1].end <= len(data)

    def test_several_threads_read_at_once(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """One open image serves all of them."""
        site.put(IMAGE, data)
        with site.store.original(site.image(IMAGE, data), terms) as original:
            extents = [*original.extents()] * 3
            with ThreadPoolExecutor(4) as pool:
                read = list(pool.map(original.read, extents))
        assert read == [data[each.offset : each.end] for each in extents]

    def test_absent_image(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """There is nothing to read."""
        opening = site.store.original(site.image(IMAGE, data), terms)
        with pytest.raises(NotFoundError, match=IMAGE), opening:
            pass

    def test_image_of_another_size(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """Such as one that is still being written."""
        site.put(IMAGE, data[:-1])
        opening = site.store.original(site.image(IMAGE, data), terms)
        with pytest.raises(NotFoundError, match=IMAGE), opening:
            pass

    def test_forged_locations_are_not_followed(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """They come from outside."""
        site.put(IMAGE, data)
        site.put(OTHER, data)
        for what, url in site.forged(IMAGE, OTHER).items():
            image = replace(
                site.image(IMAGE, data), locations=(Location(url, site.name),)
            )
            opening = site.store.original(image, terms)
            with pytest.raises(UntrustedError, match=IMAGE), opening:
                pytest.fail(what)

    @pytest.mark.parametrize("name", HOSTILE_IDS)
    def test_hostile_ids_lead_nowhere(
        self, site: ImageStoreDoors, data: bytes, terms: Terms, name: str
    ) -> None:
        """An id that is none reaches no path and no pool."""
        image = site.image(IMAGE, data)
        image = replace(image, id=ImageId(name))
        for opening in (
            site.store.original(image, terms),
            site.store.draft(image, terms),
        ):
            with pytest.raises(UsageError), opening:
                pass
        with pytest.raises(UsageError):
            site.store.withdraw(image)

    def test_removed_image_is_noticed(
        self, site: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """Where what is gone reads as zeros, nobody takes it for the image."""
        site.put(IMAGE, data)
        with site.store.original(site.image(IMAGE, data), terms) as original:
            original.unchanged()
            site.remove(IMAGE)
            with pytest.raises(NotFoundError):
                original.unchanged()


class DraftPromises(TransferFixtures):
    """What every store promises of an image in the making."""

    def test_nobody_sees_it_before_it_is_published(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Then all bytes are there, at the place that Glance expects."""
        with site.store.draft(image, terms) as draft:
            assert not draft.resumed
            assert draft.size == len(data)
            fill(draft, Loose(data, terms.chunk))
            assert whole(draft) == bytes_of(draft) == data
            assert site.content(IMAGE) is None
            assert draft.publish() == site.location(IMAGE)
        assert site.content(IMAGE) == data

    def test_what_is_written_is_no_change(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """It is still ours; an original that is written to is not what it was."""
        with site.store.draft(image, terms) as draft:
            draft.unchanged()
            fill(draft, Loose(data, terms.chunk))
            draft.unchanged()
            draft.discard()

    def test_published_copy_is_a_source(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Another site copies from it."""
        publish_copy(site, image, data, terms)
        here = replace(image, stores=frozenset({site.name}))
        with site.another().original(here, terms) as original:
            assert bytes_of(original) == data

    def test_zeros_take_no_room(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Also those that the source had written out."""
        whole_image = Extent(Bytes(0), Bytes(len(data)))
        with site.store.draft(image, terms) as draft:
            draft.write(whole_image, data)
            draft.publish()
        assert site.content(IMAGE) == data
        assert site.taken(IMAGE) <= 6 * self.UNIT

    def test_zeros_replace_what_was_there(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Nothing of an earlier try shows through."""
        whole_image = Extent(Bytes(0), Bytes(len(data)))
        with site.store.draft(image, terms) as draft:
            draft.write(whole_image, pattern(7, len(data)))
            draft.write(whole_image, data)
            assert whole(draft) == data
            draft.publish()
        assert site.content(IMAGE) == data

    def test_several_threads_write_at_once(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """Parts of any size, side by side."""
        loose = Loose(data, 3 * 4096)
        with site.store.draft(image, terms) as draft:
            with ThreadPoolExecutor(4) as pool:
                extents = list(loose.extents())
                list(pool.map(draft.write, extents, map(loose.read, extents)))
            draft.publish()
        assert site.content(IMAGE) == data

    def test_what_is_there_is_told(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """To us, and to the compute hosts of the site."""
        with site.store.draft(image, terms) as draft:
            assert draft.present() == 0
            fill(draft, Loose(data, terms.chunk))
            assert 3 * self.UNIT <= draft.present() <= len(data)
            arrival = site.arrival(image)
            assert arrival is not None
            assert not arrival.whole
            assert 3 * self.UNIT <= arrival.present <= len(data)
            draft.publish()
            arrival = site.arrival(image)
            assert arrival is not None
            assert arrival.whole

    def test_store_takes_its_own_kind(
        self, site: ImageStoreDoors, source: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """By its own means; or it says that it has none."""
        source.put(IMAGE, data)
        image = source.image(IMAGE, data, source.name)
        with (
            source.store.original(image, terms) as original,
            site.store.draft(image, terms) as draft,
        ):
            taken = draft.take(original)
            assert taken or not self.TAKES
            if not taken:
                fill(draft, original)
            draft.publish()
        assert site.content(IMAGE) == data
        assert site.taken(IMAGE) <= 6 * self.UNIT

    def test_zeros_replace_what_was_taken(
        self, site: ImageStoreDoors, source: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """Such as where the source turns out to be bad, and another one is read."""
        source.put(IMAGE, pattern(9, len(data)))
        image = source.image(IMAGE, data, source.name)
        with (
            source.store.original(image, terms) as original,
            site.store.draft(image, terms) as draft,
        ):
            draft.differing(original, ())
            if not draft.take(original):
                fill(draft, original)
            draft.write(Extent(Bytes(0), Bytes(len(data))), data)
            assert whole(draft) == data
            draft.publish()
        assert site.content(IMAGE) == data

    def test_store_does_not_take_a_stranger(
        self, site: ImageStoreDoors, image: Image, data: bytes, terms: Terms
    ) -> None:
        """It says so, and knows no checksums of it either."""
        loose = Loose(data, terms.chunk)
        with site.store.draft(image, terms) as draft:
            assert draft.take(loose) is False
            assert draft.differing(loose, ()) is None
            draft.discard()

    def test_what_differs_is_found(
        self, site: ImageStoreDoors, source: ImageStoreDoors, data: bytes, terms: Terms
    ) -> None:
        """All of it; where the stores cannot tell, they say so at once."""
        source.put(IMAGE, data)
        image = source.image(IMAGE, data, source.name)
        with ExitStack() as leaving:
            original = leaving.enter_context(source.store.original(image, terms))
            draft = leaving.enter_context(site.store.draft(image, terms))
            told = draft.differing(original, ())
            if told is None:
                draft.discard()
                assert not self.COMPARES
                return
            assert list(told) == []
            fill(draft, original)
            extents = list(original.extents())
            assert list(draft.differing(original, extents) or ()) == []
            bad = extents[-1]
            draft.write(bad, bytes(bad.length - 1) + b"x")
            assert bad in set(draft.differing(original, extents) or ())
            draft.discard()


class ImageStoreSuite(OriginalPromises, DraftPromises, ExclusionPromises):
    """What every image store promises."""
