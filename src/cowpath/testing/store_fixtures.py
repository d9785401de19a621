"""What every part of the store suite begins with."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from cowpath.core.model import Base, Bytes, Disk, ImageId, disk_name
from cowpath.testing.store_doors import StoreDoors
from cowpath.testing.store_lives import pattern

SIZE = Bytes(1024**2)
IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
OTHER = ImageId("6f2e1c0a-0000-4000-8000-00000000000b")


class StoreFixtures(ABC):
    """The store on trial, an image's bytes, and a base that holds them."""

    @pytest.fixture
    @abstractmethod
    def site(self) -> StoreDoors | Iterator[StoreDoors]:
        """Give an empty store and its doors."""

    @pytest.fixture
    def tight(self, site: StoreDoors) -> StoreDoors:
        """Give one that can be filled up; override it if `site` cannot."""
        return site

    @pytest.fixture
    def data(self) -> bytes:
        """Give an image's bytes; none of its sectors is like another."""
        return pattern(1, SIZE)

    @pytest.fixture
    def base(self, site: StoreDoors, data: bytes) -> Base:
        """Give a whole base that holds `data`."""
        return base_of(site, IMAGE, data)


def base_of(site: StoreDoors, image: ImageId, data: bytes) -> Base:
    """Put an image and return its base."""
    site.put(image, data)
    base = site.store.find_base(site.image(image, len(data)))
    assert base is not None
    return base


def pair_of(site: StoreDoors, base: Base) -> tuple[Disk, Disk]:
    """Return two disks of `base`."""
    clone = site.store.clone
    return clone(base, disk_name("a")), clone(base, disk_name("b"))


def known(site: StoreDoors, disk: Disk) -> Disk:
    """Return the disk as it is now."""
    found = site.store.find_disk(disk.name)
    assert found is not None
    return found


def spliced(data: bytes, offset: int, news: bytes) -> bytes:
    """Return `data` after `news` was written into it."""
    return data[:offset] + news + data[offset + len(news) :]
