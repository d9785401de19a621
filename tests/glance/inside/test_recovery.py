"""Copies that nobody is at: gone on with, or brought to their end."""

from collections.abc import Callable

import pytest

from cowpath.core.model import Location
from cowpath.doors.glance import recovery
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import FAILED, LOCK
from cowpath.doors.glance.records import Order
from tests.glance.inside.world import CONTENT, World


def _orphan(world: World, image: str, task: str, *stores: str, tries: int = 0) -> Here:
    """Leave a copy as a process that is killed does."""
    site = here()
    world.ledger(image, task).begin(stores)
    order = Order(task, image, stores, all_or_none=True, tries=tries)
    site.records.begin(order).leave()
    return site


def _now(work: Callable[[], None]) -> None:
    work()


def _take_up(site: Here) -> None:
    recovery.take_up(site, _now)
    assert list(site.records.left_behind()) == []


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_it_goes_on_under_the_same_task(world: World, status: str) -> None:
    image = world.image()
    task = world.task(image, status)
    _take_up(_orphan(world, image, task, "edge1", "edge2"))
    assert world.stores(image) == {"central", "edge1", "edge2"}
    assert (world.folder / "edge2" / image).read_bytes() == CONTENT
    assert world.db.task_get(world.context, task)["status"] == "success"
    assert LOCK not in world.properties(image)
    assert world.importing(image) == ""


def test_what_is_there_already_is_not_copied_again(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1", "edge2")
    ledger = world.ledger(image, task)
    ledger.add("edge1", Location(f"file://{world.folder}/edge1/{image}"))
    _take_up(site)
    assert world.db.task_get(world.context, task)["status"] == "success"
    assert not (world.folder / "edge1" / image).exists()
    assert (world.folder / "edge2" / image).exists()


def test_one_that_had_all_is_a_success(world: World) -> None:
    """Killed between its last location and its end."""
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1")
    ledger = world.ledger(image, task)
    ledger.add("edge1", Location(f"file://{world.folder}/edge1/{image}"))
    _take_up(site)
    assert world.db.task_get(world.context, task)["status"] == "success"
    assert world.stores(image) == {"central", "edge1"}
    assert FAILED not in world.properties(image) or not world.properties(image)[FAILED]


def test_what_glance_lists_is_never_removed(world: World) -> None:
    """Also where the copy to another store is given up."""
    image = world.image()
    first = world.task(image)
    world.run(world.flow(image, first, "edge1"))
    task = world.task(image)
    _take_up(_orphan(world, image, task, "edge1", "edge2", tries=4))
    assert world.stores(image) == {"central", "edge1"}
    assert (world.folder / "edge1" / image).read_bytes() == CONTENT
    assert world.properties(image)[FAILED] == "edge2"


def test_an_image_that_can_be_restored_keeps_its_bytes(world: World) -> None:
    image = world.image()
    first = world.task(image)
    world.run(world.flow(image, first, "edge1"))
    task = world.task(image)
    site = _orphan(world, image, task, "edge2")
    world.db.image_update(world.context, image, {"status": "pending_delete"})
    _take_up(site)
    assert (world.folder / "edge1" / image).exists()
    assert world.db.task_get(world.context, task)["status"] == "failure"


def test_a_store_that_is_not_there_any_more(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "gone")
    world.db.image_destroy(world.context, image)
    world.db.image_update(world.context, image, {"status": "deleted"})
    _take_up(site)
    assert world.db.task_get(world.context, task)["status"] == "failure"


def test_a_stop_is_no_death(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1", tries=3)
    with monkeypatch.context() as stopping:
        stopping.setattr(Here, "is_stopping", staticmethod(lambda: True))
        recovery.take_up(site, _now)
    (held,) = site.records.left_behind()
    assert held.order.tries == 3
    held.leave()
    assert world.properties(image)[LOCK] == task
    _take_up(site)
    assert world.db.task_get(world.context, task)["status"] == "success"


def test_one_that_somebody_is_at_is_left_alone(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = here()
    held = site.records.begin(Order(task, image, ("edge1",), all_or_none=True))
    _take_up(site)
    assert world.stores(image) == {"central"}
    held.leave()


def test_an_image_that_was_deleted_meanwhile(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1")
    (world.folder / "edge1" / f".cowpath-copy-{image}").write_bytes(b"half")
    world.db.image_destroy(world.context, image)
    world.db.image_update(world.context, image, {"status": "deleted"})
    _take_up(site)
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "was deleted" in found["message"]


def test_a_lock_that_was_handed_over(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1")
    world.db.image_delete_property_atomic(image, LOCK, task)
    other = world.task(image)
    _take_up(site)
    assert world.properties(image)[LOCK] == other
    assert world.importing(image) == "edge1", "the other's by now"
    assert world.db.task_get(world.context, task)["status"] == "failure"


def test_a_task_that_had_ended_before_its_lock_was_given_back(world: World) -> None:
    image = world.image()
    task = world.task(image)
    site = _orphan(world, image, task, "edge1")
    world.db.task_update(world.context, task, {"status": "failure"})
    _take_up(site)
    assert LOCK not in world.properties(image)
    assert world.importing(image) == ""
    assert world.properties(image)[FAILED] == "edge1"


def test_a_copy_that_kills_its_process_again_and_again_is_given_up(
    world: World,
) -> None:
    image = world.image()
    task = world.task(image)
    _take_up(_orphan(world, image, task, "edge1", tries=4))
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "was killed 4 times" in found["message"]
    assert world.properties(image)[FAILED] == "edge1"
    assert LOCK not in world.properties(image)


def test_a_record_that_cannot_be_read_is_removed(world: World) -> None:
    site = here()
    site.records.begin(Order("a", "b", ("edge1",), all_or_none=True)).done()
    folder = world.folder / "os_glance_staging_store" / ".cowpath"
    (folder / "junk.copy").write_text('{"task": 1}')
    _take_up(site)
    assert not list(folder.iterdir())
