"""The memory store keeps every promise of an image store."""

from collections.abc import Callable

import pytest

from cowpath.core.model import (
    Arrival,
    Bytes,
    Image,
    ImageId,
    Location,
    StoreName,
    disk_name,
)
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.stores.memory_copy import MemoryImageStore
from cowpath.testing.transfer_doors import ImageStoreDoors
from cowpath.testing.transfer_suite import ImageStoreSuite
from tests.contracts.transfer_promises import TransferPromises

_MIB = 1024**2


class MemoryImageDoors(ImageStoreDoors):
    def __init__(self, name: str, total: int = 256 * _MIB) -> None:
        self.name = StoreName(name)
        self.memory = MemoryStore(MemoryConfig(self.name, Bytes(total)))
        self.store = self._store = MemoryImageStore(self.memory)

    def another(self) -> MemoryImageStore:
        return self._store

    def put(self, image: ImageId, data: bytes) -> None:
        self.memory.put(image, data)

    put_leftover = put

    def remove(self, image: ImageId) -> None:
        self.memory.remove(image)

    def content(self, image: ImageId) -> bytes | None:
        return self.memory.content(image)

    def taken(self, image: ImageId) -> int:
        data = self.memory.content(image) or b""
        pages = (data[at : at + 4096] for at in range(0, len(data), 4096))
        return sum(4096 for page in pages if page.strip(b"\0"))

    def names(self) -> set[str]:
        drafts = {f"draft of {image}" for image in self.memory.drafts}
        return drafts | set(self.memory._files)

    def kept(self, image: ImageId) -> int:
        return len(self.memory.aside(image))

    def forget_kept(self, image: ImageId) -> None:
        self.memory.forget_aside(image)

    def scribble(self, image: ImageId, offset: int, data: bytes) -> None:
        self.memory.drafts[image][offset : offset + len(data)] = data

    def clone(self, image: ImageId) -> Callable[[], None]:
        data = self.memory.content(image)
        assert data is not None
        base = self.memory.find_base(Image(image, size=Bytes(len(data))))
        assert base is not None
        self.memory.clone(base, disk_name("a"))
        return lambda: self.memory.delete(disk_name("a"))

    def location(self, image: ImageId) -> Location:
        return self.memory.location(image)

    def forged(self, image: ImageId, other: ImageId) -> dict[str, str]:
        return {
            "another image's": f"memory://{self.name}/{other}",
            "another scheme": f"file:///{self.name}/{image}",
        }

    def arrival(self, image: Image) -> Arrival | None:
        return self.memory.arrival(image)

    def fill_up(self) -> None:
        ballast = ImageId("ffffffff-0000-4000-8000-000000000000")
        self.memory.put(ballast, size=self.memory.capacity().free)


class _Fixtures:
    @pytest.fixture
    def site(self) -> ImageStoreDoors:
        return MemoryImageDoors("edge1")

    @pytest.fixture
    def source(self) -> ImageStoreDoors:
        return MemoryImageDoors("central")


class TestMemoryImageStore(_Fixtures, ImageStoreSuite):
    TAKES = COMPARES = True


class TestMemoryTransfer(_Fixtures, TransferPromises):
    pass
