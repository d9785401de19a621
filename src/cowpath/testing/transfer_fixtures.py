"""What every part of the transfer suite begins with."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import pytest

from cowpath.core.model import Bytes, Image, StoreName
from cowpath.core.transfer import Draft, Extent, Original, Terms
from cowpath.testing.store_fixtures import IMAGE
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_doors import ImageStoreDoors

ELSEWHERE = StoreName("elsewhere")
"""A store that has the image, as Glance says."""


class TransferFixtures(ABC):
    """Two image stores of one kind, and an image with data, zeros and an odd end.

    Attributes:
        UNIT: What the store allocates at once, or a multiple; the image has eleven.
        CHUNK: Of the terms.
        TAKES: The store copies its own kind by its own means.
        COMPARES: It tells by checksums where such a copy differs.
    """

    UNIT: ClassVar[int] = 256 * 1024
    CHUNK: ClassVar[int] = 512 * 1024
    TAKES: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = False

    @pytest.fixture
    @abstractmethod
    def site(self) -> ImageStoreDoors | Iterator[ImageStoreDoors]:
        """Give an empty image store and its doors: the target."""

    @pytest.fixture
    @abstractmethod
    def source(self) -> ImageStoreDoors | Iterator[ImageStoreDoors]:
        """Give another empty one of the same kind."""

    @pytest.fixture
    def tight(self, site: ImageStoreDoors) -> ImageStoreDoors:
        """Give one that can be filled up; override it if `site` cannot."""
        return site

    @pytest.fixture
    def terms(self) -> Terms:
        """Give terms with small requests."""
        return Terms(lanes=4, chunk=Bytes(self.CHUNK))

    @pytest.fixture
    def data(self) -> bytes:
        """Give an image: of eleven units the first, sixth and seventh hold data."""
        zeros = bytes(4 * self.UNIT)
        some = pattern(1, self.UNIT)
        return some + zeros + pattern(2, 2 * self.UNIT) + zeros + pattern(3, 100)

    @pytest.fixture
    def image(self, site: ImageStoreDoors, data: bytes) -> Image:
        """Give what Glance says of it: it is elsewhere."""
        return site.image(IMAGE, data, ELSEWHERE)


class Loose:
    """An `Original` of no store: bytes in memory.

    Attributes:
        where: For messages.
    """

    where = "nowhere"

    def __init__(self, data: bytes, chunk: int) -> None:
        self._data = data
        self._chunk = chunk

    @property
    def size(self) -> Bytes:
        """Return how large it is."""
        return Bytes(len(self._data))

    def extents(self) -> Iterator[Extent]:
        """Yield all that is not zeros."""
        for offset in range(0, len(self._data), self._chunk):
            part = self._data[offset : offset + self._chunk]
            if part.strip(b"\0"):
                yield Extent(Bytes(offset), Bytes(len(part)))

    def read(self, extent: Extent) -> bytes:
        """Return bytes."""
        return self._data[extent.offset : extent.end]

    def unchanged(self) -> None:
        """Accept it: nobody else has these bytes."""


def fill(draft: Draft, original: Original) -> None:
    """Write all of `original` into a draft."""
    for extent in original.extents():
        draft.write(extent, original.read(extent))


def bytes_of(original: Original) -> bytes:
    """Return all that a reader of its extents finds, with zeros between them."""
    data = bytearray(original.size)
    for extent in original.extents():
        data[extent.offset : extent.end] = original.read(extent)
    return bytes(data)


def whole(original: Original) -> bytes:
    """Return all bytes, read at once."""
    return original.read(Extent(Bytes(0), original.size))
