"""A database or a store that does not do what it is asked, for a while."""

from contextlib import ExitStack
from typing import Any

import pytest
from oslo_db import exception as db_exception

from cowpath.clock import SystemClock
from cowpath.core.model import StoreName
from cowpath.doors.glance import recovery
from cowpath.doors.glance.here import here
from cowpath.doors.glance.ledger import FAILED, LOCK
from tests.glance.inside.world import CONTENT, World


def _is_whole(world: World, image: str, task: str) -> bool:
    return (
        world.stores(image) == {"central", "edge1"}
        and (world.folder / "edge1" / image).read_bytes() == CONTENT
        and world.db.task_get(world.context, task)["status"] == "success"
        and LOCK not in world.properties(image)
        and not world.properties(image)[FAILED]
    )


def test_a_location_whose_answer_got_lost_is_listed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = world.db.image_location_add

    def lost(*args: Any) -> None:
        add(*args)
        raise db_exception.DBConnectionError

    monkeypatch.setattr(world.db, "image_location_add", lost)
    image = world.image()
    task = world.task(image)
    world.run(world.flow(image, task, "edge1"))
    assert _is_whole(world, image, task)
    rows = world.db.image_get(world.context, image)["locations"]
    assert len(rows) == 2


def test_a_database_that_is_locked_for_a_while_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is done: it is not left to the next look, a minute later."""
    add, refusals = world.db.image_location_add, iter(range(5))

    def busy(*args: Any) -> None:
        if next(refusals, None) is not None:
            raise db_exception.DBError("database is locked")
        add(*args)

    pauses: list[float] = []
    monkeypatch.setattr("oslo_db.api.time.sleep", pauses.append)
    monkeypatch.setattr(world.db, "image_location_add", busy)
    image = world.image()
    task = world.task(image)
    world.run(world.flow(image, task, "edge1"))
    assert _is_whole(world, image, task)
    assert pauses


def test_where_nothing_can_be_listed_the_copy_waits_for_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise db_exception.DBError

    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1")
    with monkeypatch.context() as trouble:
        trouble.setattr(world.db, "image_location_add", away)
        world.run(made)
    assert world.stores(image) == {"central"}
    assert world.properties(image)[LOCK] == task
    recovery.take_up(here(), lambda work: work())
    assert _is_whole(world, image, task)


def test_a_message_is_not_worth_a_copy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise db_exception.DBError

    image = world.image()
    task = world.task(image)
    with monkeypatch.context() as trouble:
        trouble.setattr(world.db, "task_update", away)
        world.ledger(image, task).say("Copied 1 MiB")
    assert world.db.task_get(world.context, task)["message"] is None


def test_who_is_still_at_a_store_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a copy whose lock was handed over, until it notices."""
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1")
    site = here()
    seen = world.ledger(image, task).last_known()
    assert seen
    slept = []
    with ExitStack() as at_it:
        copying = site.copying
        draft = copying.stores[StoreName("edge1")].draft(seen, copying.terms)
        at_it.enter_context(draft)

        def gone(_clock: SystemClock, seconds: float) -> None:
            slept.append(seconds)
            at_it.close()

        monkeypatch.setattr(SystemClock, "sleep", gone)
        world.run(made)
    assert slept
    assert _is_whole(world, image, task)


def test_a_source_with_other_bytes_is_named(world: World) -> None:
    image = world.image()
    path = world.folder / "central" / image
    path.write_bytes(b"x" + CONTENT[1:])
    task = world.task(image)
    world.run(world.flow(image, task, "edge1"))
    told = world.db.task_get(world.context, task)["message"]
    assert told.startswith("Not copied to edge1: ")
    assert f"{path}" in told
    assert f"has other bytes of image {image}" in told
    assert "check that store's health" in told
