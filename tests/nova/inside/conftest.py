"""A nova-compute for every test: Nova's own, or with our door in it."""

# First of all: what is imported here decides how Nova runs threads.
import nova.tests.unit  # noqa: F401  # isort: skip

from collections.abc import Iterator
from pathlib import Path

import pytest
from nova import objects

from tests.nova.inside.managed import Mappings
from tests.nova.inside.world import Compute, computing


@pytest.fixture(autouse=True)
def mappings(monkeypatch: pytest.MonkeyPatch) -> Mappings:
    """Return what says which disks servers have."""
    objects.register_all()
    made = Mappings()
    monkeypatch.setattr(objects.BlockDeviceMappingList, "get_by_instance_uuid", made)
    return made


@pytest.fixture(params=["nova", "ours"])
def compute(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Compute]:
    """Return each in turn, started."""
    ours = request.param == "ours"
    with computing(tmp_path, monkeypatch, ours=ours) as made:
        yield made.start()


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compute]:
    """Return one with our door."""
    with computing(tmp_path, monkeypatch, ours=True) as made:
        yield made.start()
