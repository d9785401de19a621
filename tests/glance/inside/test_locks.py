"""A copy under Glance's import lock, and what is done once the lock is another's."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from glance.api.v2 import images
from glance.common import exception
from glance.db.sqlalchemy import models
from oslo_utils import timeutils

from cowpath.doors.glance.ledger import FAILED, LOCK, PreemptedError
from tests.glance.inside.world import World


def test_the_lock_is_held_until_the_end_and_given_back(world: World) -> None:
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1")
    assert world.properties(image)[LOCK] == task
    assert world.importing(image) == "edge1"
    world.run(made)
    assert LOCK not in world.properties(image)
    assert world.importing(image) == ""
    assert world.stores(image) == {"central", "edge1"}
    assert world.db.task_get(world.context, task)["status"] == "success"


def test_every_message_shows_that_the_task_lives(world: World) -> None:
    """Glance hands the lock over after an hour without a change of the task."""
    image = world.image()
    task = world.task(image)
    before = world.db.task_get(world.context, task)["updated_at"]
    world.ledger(image, task).say("Copied 1 MiB")
    found = world.db.task_get(world.context, task)
    assert found["message"] == "Copied 1 MiB"
    assert found["updated_at"] > before


def _age(world: World, task: str) -> None:
    """Have a task look untouched for over an hour."""
    long_ago = timeutils.utcnow() - timedelta(minutes=61)
    with world.db.session_for_write() as session:
        query = session.query(models.Task).filter_by(id=task)
        query.update({"updated_at": long_ago})


def _ask_for_the_lock(world: World, image: str) -> None:
    """Do what Glance does with a request for another copy of an image."""
    controller = images.ImagesController(db_api=world.db)
    request = SimpleNamespace(context=world.context)
    controller._enforce_import_lock(request, world.images.get(image))


def test_glance_hands_over_the_lock_of_a_dead_copy_only(world: World) -> None:
    image = world.image()
    task = world.task(image)
    _age(world, task)
    world.ledger(image, task).say("Copied 1 MiB")
    with pytest.raises(exception.Conflict, match="active task"):
        _ask_for_the_lock(world, image)
    _age(world, task)
    _ask_for_the_lock(world, image)
    assert LOCK not in world.properties(image)
    found = world.db.task_get(world.context, task)
    assert found["message"] == "Expired lock preempted"


def test_a_lock_that_was_handed_over_is_left_alone(world: World) -> None:
    """Nothing of the copy is kept, and nothing of the next one's is touched."""
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1")
    world.db.image_delete_property_atomic(image, LOCK, task)
    other = world.task(image)
    world.ledger(image, other).begin(["edge1"])
    world.run(made)
    assert world.stores(image) == {"central"}
    assert world.properties(image)[LOCK] == other
    assert world.importing(image) == "edge1"
    assert not list((world.folder / "edge1").glob("*"))
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "is no longer this task's" in found["message"]


def test_a_task_that_was_ended_by_somebody_else_says_no_more(world: World) -> None:
    image = world.image()
    task = world.task(image, status="failure")
    with pytest.raises(PreemptedError, match="was ended by somebody else"):
        world.ledger(image, task).say("Copied 1 MiB")


def test_without_the_lock_nothing_begins(world: World) -> None:
    image = world.image()
    task = world.task(image)
    world.db.image_delete_property_atomic(image, LOCK, task)
    with pytest.raises(PreemptedError):
        world.flow(image, task, "edge1")
    assert world.importing(image) == ""


def test_a_quota_that_is_used_up_ends_the_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_up(*_: object, **__: object) -> None:
        raise exception.LimitExceeded(body="no room for somebody")

    monkeypatch.setattr("glance.quota.keystone.enforce_image_staging_total", used_up)
    image = world.image()
    task = world.task(image)
    with pytest.raises(exception.LimitExceeded):
        world.flow(image, task, "edge1")
    assert LOCK not in world.properties(image)
    assert world.properties(image)[FAILED] == "edge1"
    assert world.importing(image) == ""
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "no room for somebody" in found["message"]
