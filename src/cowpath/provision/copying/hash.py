"""The hash of a whole image, of which only the parts that hold data are read."""

import hashlib
from collections.abc import Callable

from cowpath.core.errors import CopyFailedError
from cowpath.core.model import Image
from cowpath.core.transfer import Extent

_ZEROS = bytes(1024**2)
"""Small enough to stay in a processor's cache."""
_SHOWN = 12


class ImageHash:
    """Hashes what is added in order, and zeros for what is left out."""

    def __init__(self, image: Image, beat: Callable[[], None]) -> None:
        """Expect the hash that Glance has of `image`.

        Args:
            image: Has its algorithm and the hash in hexadecimal.
            beat: Called now and then while a long run of zeros is hashed.
        """
        self._image = image
        algorithm, _, self._expected = (image.hash or "").partition(":")
        self._sum = hashlib.new(algorithm, usedforsecurity=False)
        self._beat = beat
        self._at = 0

    def add(self, extent: Extent, data: bytes) -> None:
        """Go on with `data` at `extent`, behind all that was added before."""
        self._zeros(extent.offset)
        self._sum.update(data)
        self._at = extent.end

    def check(self, size: int, source: str) -> None:
        """Accept what was added as the whole image.

        Raises:
            CopyFailedError: It has another hash.
        """
        self._zeros(size)
        found = self._sum.hexdigest()
        if found != self._expected.lower():
            image, name = self._image, self._sum.name
            raise CopyFailedError(
                f"{source} has other bytes of image {image.id} ({image.name}) than "
                f"were uploaded: their {name} begins with {found[:_SHOWN]}, Glance's "
                f"os_hash_value with {self._expected[:_SHOWN]}; nothing was made of "
                f"it: check that store's health, and upload the image again if no "
                f"other store has it whole"
            )

    def _zeros(self, until: int) -> None:
        while self._at < until:
            length = min(len(_ZEROS), until - self._at)
            self._sum.update(memoryview(_ZEROS)[:length])
            self._at += length
            self._beat()


def can_hash(image: Image) -> bool:
    """Tell whether Glance has a hash of `image` that can be made here."""
    algorithm = (image.hash or "").partition(":")[0]
    return algorithm in hashlib.algorithms_available
