"""The last look at Glance, right before a copy gets its own name."""

from collections.abc import Callable

import pytest

from cowpath.core.model import Location
from cowpath.doors.glance.ledger import LOCK
from cowpath.stores.file._original import FileOriginal
from tests.glance.inside.world import World


def _once_all_is_read(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> None:
    """Have something happen between the copying and the publishing."""
    unchanged, left = FileOriginal.unchanged, [happens]

    def looked(original: FileOriginal) -> None:
        unchanged(original)
        while left:
            left.pop()()

    monkeypatch.setattr(FileOriginal, "unchanged", looked)


def test_what_somebody_else_listed_meanwhile_is_not_moved_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an operator who adds a location by hand."""
    image = world.image()
    task = world.task(image)
    made, at = world.flow(image, task, "edge1"), world.folder / "edge1" / image

    def listed() -> None:
        at.write_bytes(b"somebody else's")
        world.ledger(image, task).add("edge1", Location(f"file://{at}"))

    _once_all_is_read(monkeypatch, listed)
    world.run(made)
    assert at.read_bytes() == b"somebody else's"
    assert world.stores(image) == {"central", "edge1"}
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "somebody else listed" in found["message"]
    assert [path.name for path in (world.folder / "edge1").iterdir()] == [image]


def test_without_the_lock_nothing_is_moved_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what the next copy has published a moment ago."""
    image = world.image()
    task = world.task(image)
    made, at = world.flow(image, task, "edge1"), world.folder / "edge1" / image
    at.write_bytes(b"of the next copy")

    def handed_over() -> None:
        world.db.image_delete_property_atomic(image, LOCK, task)
        world.task(image)

    _once_all_is_read(monkeypatch, handed_over)
    world.run(made)
    assert at.read_bytes() == b"of the next copy"
    assert world.stores(image) == {"central"}
    found = world.db.task_get(world.context, task)
    assert "is no longer this task's" in found["message"]
