"""Random lives of a store's disks, against a model that fits on a page."""

import itertools
import random
import uuid
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from cowpath.core.errors import ConflictError, UsageError
from cowpath.core.model import Base, Bytes, Disk, DiskName, ImageId, disk_name
from cowpath.testing.store_doors import StoreDoors

_SECTOR = 512
_SECTORS = 256
"""Of a base."""

_names = st.sampled_from([disk_name(name) for name in ("a", "b", "a.b")])
_places = st.integers(0, _SECTORS - 1)
_seeds = st.integers(0, 1)
_lives = itertools.count()


def pattern(seed: int, length: int) -> bytes:
    """Return bytes that look like no others; the same for the same arguments."""
    return random.Random(seed).randbytes(length)  # noqa: S311 - test data


@dataclass(slots=True)
class _Model:
    """What a disk must be."""

    base: Base
    data: bytes
    written: bool = False


class StoreLives(RuleBasedStateMachine):
    """Clones, writes, grows, deletes and lists, in any order.

    Attributes:
        site: A subclass says on which store.
    """

    site: ClassVar[StoreDoors]

    def __init__(self) -> None:
        super().__init__()
        self._store = self.site.store
        self._disks: dict[DiskName, _Model] = {}
        self._bases: dict[int, tuple[Base, bytes]] = {}

    @initialize()
    def images(self) -> None:
        """Begin with two images of this life's own."""
        life = next(_lives)
        for seed in (0, 1):
            image = ImageId(str(uuid.UUID(int=2 * life + seed, version=4)))
            data = pattern(seed, _SECTORS * _SECTOR)
            self.site.put(image, data)
            base = self._store.find_base(self.site.image(image, len(data)))
            assert base is not None
            self._bases[seed] = (base, data)

    @rule(name=_names, seed=_seeds)
    def clone(self, name: DiskName, seed: int) -> None:
        """A free name gets a disk, a taken one an error."""
        base, data = self._bases[seed]
        if name in self._disks:
            with pytest.raises(ConflictError):
                self._store.clone(base, name)
            return
        assert self._store.clone(base, name).size == len(data)
        self._disks[name] = _Model(base, data)

    @rule(name=_names, seed=st.integers(2, 9), first=_places, sectors=st.integers(1, 9))
    def write(self, name: DiskName, seed: int, first: int, sectors: int) -> None:
        """A guest writes some sectors."""
        model = self._some(name)
        at = first * _SECTOR
        news = pattern(seed, sectors * _SECTOR)[: len(model.data) - at]
        self.site.write(self._known(name), at, news)
        model.data = model.data[:at] + news + model.data[at + len(news) :]
        model.written = True

    @rule(name=_names, sectors=st.integers(-8, 64))
    def grow(self, name: DiskName, sectors: int) -> None:
        """More is given, less is refused."""
        model = self._some(name)
        size = Bytes(len(model.data) + sectors * _SECTOR)
        if sectors < 0:
            with pytest.raises(UsageError):
                self._store.grow(self._known(name), size)
            return
        assert self._store.grow(self._known(name), size).size == size
        model.data += bytes(sectors * _SECTOR)

    @rule(name=_names)
    def delete(self, name: DiskName) -> None:
        """Whether it is there or not."""
        self._store.delete(name)
        self._disks.pop(name, None)

    @rule(name=_names)
    def read(self, name: DiskName) -> None:
        """A guest reads what it wrote over what its base has."""
        model = self._some(name)
        assert self.site.read(self._known(name)) == model.data
        assert self._store.untouched(self._known(name)) is not model.written

    @invariant()
    def listed(self) -> None:
        """The list shows exactly the disks of the model."""
        seen = {disk.name: disk for disk in self._store.disks()}
        assert list(seen) == sorted(self._disks)
        for name, model in self._disks.items():
            assert seen[name].size == len(model.data)
            assert seen[name].base == model.base.where
            assert seen[name].marked

    def teardown(self) -> None:
        """Leave the store empty for the next life."""
        for name, model in self._disks.items():
            assert self.site.read(self._known(name)) == model.data
            self._store.delete(name)
        for base, _ in self._bases.values():
            self.site.remove(base.image)

    def _some(self, name: DiskName) -> _Model:
        """Return the model of a disk; made first if it is not there."""
        if name not in self._disks:
            self.clone(name, seed=0)
        return self._disks[name]

    def _known(self, name: DiskName) -> Disk:
        disk = self._store.find_disk(name)
        assert disk is not None
        return disk
