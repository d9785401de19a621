"""Copies are noted as soon as Glance takes the request: some wait for a thread."""

from typing import Any

import glance.db
import pytest
from glance import gateway
from glance.common import exception
from oslo_config import cfg

from cowpath.doors.glance import admission, recovery
from cowpath.doors.glance.here import here
from cowpath.doors.glance.ledger import FAILED, LOCK
from tests.glance.inside.world import CONTENT, World

CONF = cfg.CONF


@pytest.fixture(autouse=True)
def _noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put our function where the door puts it."""
    own = glance.db.TaskRepo.add
    monkeypatch.setattr(glance.db.TaskRepo, "add", admission.noting(own))


def _asked(world: World, image: str, *stores: str, method: str = "copy-image") -> Any:
    """Do what Glance does with a request, until a thread has time for it."""
    asked = {"method": {"name": method}, "all_stores_must_succeed": True}
    factory = gateway.Gateway().get_task_factory(world.context)
    task = factory.new_task(
        task_type="api_image_import",
        owner="somebody",
        image_id=image,
        user_id="me",
        request_id="req-1",
        task_input={"image_id": image, "import_req": asked, "backend": [*stores]},
    )
    world.images.set_property_atomic(world.images.get(image), LOCK, task.task_id)
    world.tasks.add(task)
    return task


def _noted(world: World) -> list[str]:
    folder = world.folder / "os_glance_staging_store" / ".cowpath"
    return [path.stem for path in folder.glob("*.copy")]


def _die() -> None:
    """Let go of what is noted, as the kernel does for a process that is killed."""
    records = here().records
    for held in records.accepted():
        records.release(held.order)


def _take_up() -> None:
    recovery.take_up(here(), lambda work: work())


def test_one_that_never_had_a_thread_is_gone_on_with(world: World) -> None:
    image = world.image()
    task = _asked(world, image, "edge1", "edge2")
    assert _noted(world) == [task.task_id]
    _take_up()
    assert world.stores(image) == {"central"}, "it waits in this process"
    _die()
    _take_up()
    assert world.stores(image) == {"central", "edge1", "edge2"}
    assert (world.folder / "edge2" / image).read_bytes() == CONTENT
    found = world.db.task_get(world.context, task.task_id)
    assert found["status"] == "success"
    assert LOCK not in world.properties(image)
    assert _noted(world) == []


def test_the_thread_that_has_time_goes_on_with_what_is_noted(world: World) -> None:
    image = world.image()
    task = _asked(world, image, "edge1")
    task.begin_processing()
    world.tasks.save(task)
    made = world.flow(image, task.task_id, "edge1")
    assert _noted(world) == [task.task_id]
    world.run(made)
    assert world.stores(image) == {"central", "edge1"}
    assert _noted(world) == []


@pytest.mark.parametrize("unfit", ["store", "method"])
def test_what_goes_glance_s_own_way_is_not_noted(world: World, unfit: str) -> None:
    image = world.image()
    if unfit == "store":
        CONF.set_override("enabled_backends", {**CONF.enabled_backends, "web": "http"})
        _asked(world, image, "web")
    else:
        _asked(world, image, "edge1", method="web-download")
    assert _noted(world) == []


def test_what_turns_out_to_go_glance_s_own_way_is_noted_no_more(
    world: World,
) -> None:
    """Its source was moved while it waited."""
    image = world.image()
    task = _asked(world, image, "edge1")
    elsewhere = {"url": "file:///elsewhere", "metadata": {"store": "central"}}
    places = {"locations": [{**elsewhere, "status": "active"}]}
    world.db.image_update(world.context, image, places)
    with pytest.raises(LookupError, match="Glance's own flow"):
        world.flow(image, task.task_id, "edge1")
    assert _noted(world) == []


def test_a_task_that_glance_could_not_keep_is_not_noted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise exception.Forbidden

    monkeypatch.setattr(world.db, "task_create", refused)
    with pytest.raises(exception.Forbidden):
        _asked(world, world.image(), "edge1")
    assert _noted(world) == []


def test_one_that_ended_before_our_flow_was_asked_for_is_let_go(world: World) -> None:
    """Such as by an error of Glance's own; its lock is given back."""
    image = world.image()
    task = _asked(world, image, "edge1")
    world.db.task_update(world.context, task.task_id, {"status": "failure"})
    _take_up()
    assert _noted(world) == []
    assert LOCK not in world.properties(image)


def test_the_quota_is_asked_for_once_it_is_taken_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_up(_context: object, project: str, **_: object) -> None:
        raise exception.LimitExceeded(body=f"no room for {project}")

    image = world.image()
    task = _asked(world, image, "edge1")
    _die()
    monkeypatch.setattr("glance.quota.keystone.enforce_image_staging_total", used_up)
    _take_up()
    assert world.properties(image)[FAILED] == "edge1"
    assert LOCK not in world.properties(image)
    found = world.db.task_get(world.context, task.task_id)
    assert found["status"] == "failure"
    assert "no room for somebody" in found["message"]
    assert _noted(world) == []
