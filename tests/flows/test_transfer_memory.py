"""What is kept of each extent is so little that images of many TiB can be copied."""

import hashlib
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cowpath.core.model import Bytes, Image, Location
from cowpath.core.transfer import Extent, Original, Terms, Verify
from cowpath.observers.silence import Silence
from cowpath.provision.transfer import Transfer
from cowpath.testing.clock import FakeClock
from tests.flows.transfer_world import CENTRAL, EDGE1, IMAGE, KIB

_CHUNK = 64 * KIB
_EXTENTS = 4096
_BYTES = b"x" * _CHUNK
_MOST_EACH = 110
"""Bytes, of which some 40 are of the last 64 MiB, whatever the size of the image.

As objects in sets they were 156 to 257.
"""


@dataclass
class Lean:
    """A store, and its image, that keeps nothing: all of it is the same bytes."""

    tells: bool = True
    most: int = 0

    where = "nowhere"
    resumed = False
    size = Bytes(_EXTENTS * _CHUNK)

    @contextmanager
    def original(self, _image: Image, _terms: Terms) -> Iterator["Lean"]:
        yield self

    @contextmanager
    def draft(self, _image: Image, _terms: Terms) -> Iterator["Lean"]:
        yield self

    def extents(self) -> Iterator[Extent]:
        for number in range(_EXTENTS):
            yield Extent(Bytes(number * _CHUNK), Bytes(_CHUNK))

    def read(self, _extent: Extent) -> bytes:
        return _BYTES

    def unchanged(self) -> None:
        pass

    def present(self) -> Bytes:
        return Bytes(0)

    def take(self, _original: Original) -> bool:
        return False

    def write(self, _extent: Extent, data: bytes) -> None:
        assert data == _BYTES

    def differing(
        self, _original: Original, extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        self._weigh()
        return (
            (each for each in extents if each.length != _CHUNK) if self.tells else None
        )

    def publish(self) -> Location:
        self._weigh()
        return Location("rbd://fsid/images/image/snap", EDGE1)

    def discard(self) -> None:
        raise AssertionError

    def listed(self, _image: Image) -> None:
        pass

    def withdraw(self, _image: Image) -> None:
        raise AssertionError

    def _weigh(self) -> None:
        filters = [
            tracemalloc.Filter(inclusive=True, filename_pattern=pattern)
            for pattern in ("*/provision/*", "*/core/transfer*.py")
        ]
        kept = tracemalloc.take_snapshot().filter_traces(filters)
        self.most = max(self.most, sum(each.size for each in kept.traces))


def _hash() -> str:
    found = hashlib.sha512()
    for _ in range(_EXTENTS):
        found.update(_BYTES)
    return found.hexdigest()


@pytest.mark.parametrize("verify", [Verify.IMAGE, Verify.TRANSFER])
@pytest.mark.parametrize("tells", [True, False], ids=["by-checksums", "by-reading"])
def test_extents_take_little_memory(verify: Verify, *, tells: bool) -> None:
    source, target = Lean(), Lean(tells)
    transfer = Transfer(
        {CENTRAL: source, EDGE1: target},
        {},
        lambda _source, _target: Terms(verify=verify, chunk=Bytes(_CHUNK)),
        FakeClock(),
        Silence(),
    )
    image = Image(
        IMAGE,
        "large",
        size=source.size,
        stores=frozenset({CENTRAL}),
        hash=f"sha512:{_hash()}",
    )
    tracemalloc.start()
    try:
        outcomes = transfer.copy(
            image, [EDGE1], all_or_none=True, register=lambda _store, _location: None
        )
    finally:
        tracemalloc.stop()
    assert isinstance(outcomes[EDGE1], Location)
    assert 0 < target.most < _EXTENTS * _MOST_EACH
