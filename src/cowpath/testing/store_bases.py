"""Every promise of `core.ports.Bases`; a part of the store suite."""

from dataclasses import replace

import pytest

from cowpath.core.errors import NotFoundError, UntrustedError, UsageError
from cowpath.core.model import Base, ImageId, Location, StoreName, disk_name
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_fixtures import (
    IMAGE,
    OTHER,
    SIZE,
    StoreFixtures,
    base_of,
)
from cowpath.testing.store_lives import pattern

HOSTILE_IDS = ("", "..", "../" + IMAGE, IMAGE + "/..", IMAGE + "\n")


class BasesPromises(StoreFixtures):
    """What every store promises of its bases."""

    def test_territory_is_named(self, site: StoreDoors) -> None:
        """Messages can say where this store looks."""
        assert site.store.territory

    def test_absent_image_has_no_base_and_no_arrival(self, site: StoreDoors) -> None:
        """An empty store shows nothing."""
        image = site.image(IMAGE, SIZE)
        assert site.store.find_base(image) is None
        assert site.store.arrival(image) is None

    @pytest.mark.parametrize("shown", [True, False])
    def test_whole_image_is_found(
        self, site: StoreDoors, data: bytes, *, shown: bool
    ) -> None:
        """By its location, and where Glance hides locations by configuration."""
        site.put(IMAGE, data)
        base = site.store.find_base(site.image(IMAGE, SIZE, shown=shown))
        assert base is not None
        assert (base.image, base.size) == (IMAGE, SIZE)
        assert base.where

    def test_finding_changes_nothing(self, site: StoreDoors, data: bytes) -> None:
        """To look is free of effects, and always gives the same base."""
        site.put(IMAGE, data)
        before = site.everything()
        found = [site.store.find_base(site.image(IMAGE, SIZE)) for _ in range(2)]
        assert found[0] == found[1]
        assert site.everything() == before

    def test_base_has_the_same_place_before_and_after_its_first_disk(
        self, site: StoreDoors, base: Base
    ) -> None:
        """Adoption compares places: a clone must not change them."""
        site.store.clone(base, disk_name("a"))
        assert site.store.find_base(site.image(IMAGE, SIZE)) == base
        assert site.another().find_base(site.image(IMAGE, SIZE)) == base

    def test_location_of_another_site_is_passed_over(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Other sites' locations are no business of ours, ours counts."""
        site.put(IMAGE, data)
        image = site.image(IMAGE, SIZE)
        far = Location("rbd://a-fsid/images/x/snap", StoreName("far-away"))
        direct = Location("http://far.example/x")
        for places in ((far, direct, *image.locations), (far,), (direct,)):
            shown = replace(image, locations=places)
            assert site.store.find_base(shown) is not None

    @pytest.mark.parametrize("step", [0, 1, 512, SIZE - 1])
    def test_partial_image_is_an_arrival_and_no_base(
        self, site: StoreDoors, data: bytes, step: int
    ) -> None:
        """A copy in progress shows how far it is, and is not cloned."""
        site.put(IMAGE, data, present=step)
        image = site.image(IMAGE, SIZE, shown=False)
        assert site.store.find_base(image) is None
        arrival = site.store.arrival(image)
        # What a store allocates at once may be more than what was written.
        assert arrival is None or (arrival.present <= SIZE and not arrival.whole)

    def test_arrival_of_all_bytes_is_whole(self, site: StoreDoors, data: bytes) -> None:
        """The store knows that a copy is done before Glance says so."""
        site.put(IMAGE, data)
        arrival = site.store.arrival(site.image(IMAGE, SIZE, shown=False))
        assert arrival is not None
        assert arrival.whole

    def test_wrong_or_unknown_size_is_no_base(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """The image's size decides, to the byte."""
        site.put(IMAGE, data)
        for size in (SIZE - 1, SIZE + 1, 2 * SIZE, 0, None):
            assert site.store.find_base(site.image(IMAGE, size)) is None

    def test_forged_locations_are_refused(self, site: StoreDoors, data: bytes) -> None:
        """What claims our store but leads elsewhere is not followed."""
        site.put(IMAGE, data)
        site.put(OTHER, data)
        image = site.image(IMAGE, SIZE)
        for wrong, url in site.forged(IMAGE, OTHER).items():
            forged = replace(image, locations=(Location(url, site.name),))
            with pytest.raises(UntrustedError, match=IMAGE):
                pytest.fail(f"{wrong}: {site.store.find_base(forged)}")

    def test_forged_locations_of_no_store_lead_nowhere(
        self, site: StoreDoors, data: bytes
    ) -> None:
        """Unclaimed, they are ignored: the base is the configured one or none."""
        site.put(IMAGE, data)
        site.put(OTHER, data)
        image = site.image(IMAGE, SIZE)
        base = site.store.find_base(image)
        for url in site.forged(IMAGE, OTHER).values():
            forged = replace(image, locations=(Location(url),))
            assert site.store.find_base(forged) in (base, None)

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    def test_hostile_image_ids_are_refused(
        self, site: StoreDoors, base: Base, hostile: str
    ) -> None:
        """An id that is none reaches no path, whatever its type says."""
        bad = ImageId(hostile)
        image = replace(site.image(IMAGE, SIZE, shown=False), id=bad)
        before = site.everything()
        for call in (
            lambda: site.store.find_base(image),
            lambda: site.store.arrival(image),
            lambda: site.store.clone(replace(base, image=bad), disk_name("a")),
        ):
            with pytest.raises((UsageError, NotFoundError)):
                call()
        assert site.everything() == before

    def test_head_is_the_first_4096_bytes(
        self, site: StoreDoors, base: Base, data: bytes
    ) -> None:
        """Enough to see the header of another format."""
        assert base.head == data[:4096]
        site.store.clone(base, disk_name("a"))
        again = site.another().find_base(site.image(IMAGE, SIZE))
        assert again is not None
        assert again.head == data[:4096]

    def test_head_of_a_small_base_is_all_of_it(self, site: StoreDoors) -> None:
        """No padding."""
        small = base_of(site, IMAGE, pattern(3, 512))
        assert small.head == pattern(3, 512)
