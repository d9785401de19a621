"""What is told on the message bus of a copy by us is what Glance tells of its own."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import md5
from importlib import import_module
from itertools import groupby
from typing import Any

import glance.async_
import pytest
from glance import gateway
from glance.async_.flows import api_image_import
from oslo_config import cfg
from taskflow import engines

from cowpath.core.errors import NoSpaceError
from cowpath.core.model import StoreName
from cowpath.doors.glance.here import here
from cowpath.doors.glance.notices import Notices
from tests.glance.inside.world import CONTENT, World

CONF = cfg.CONF
bus: Any = import_module("oslo_messaging.notify._impl_test")


@pytest.fixture(autouse=True)
def _noted(world: World) -> None:
    del world  # its configuration is read
    gateway.Gateway()
    CONF.set_override("driver", ["test"], group="oslo_messaging_notifications")
    bus.reset()


def _image(world: World) -> str:
    # Glance compares what it has written with that too.
    checksum = md5(CONTENT, usedforsecurity=False).hexdigest()
    return world.image(checksum=checksum)


def _by_glance(world: World, image: str, task: str) -> None:
    with suppress(RuntimeError):
        glance.async_.set_threadpool_model("native")
    gate = gateway.Gateway()
    repos = {
        name: gate.get_repo(world.context) for name in ("image_repo", "admin_repo")
    }
    told = {"task_id": task, "task_type": "api_image_import", "image_id": image}
    made = api_image_import.get_flow(
        **told,
        **repos,
        context=world.context,
        task_repo=gate.get_task_repo(world.context),
        backend=["edge1"],
        import_req={"method": {"name": "copy-image"}},
    )
    with suppress(Exception):
        engines.load(made, engine="serial").run()


def _by_us(world: World, image: str, task: str) -> None:
    world.run(world.flow(image, task, "edge1"))


def _of_image() -> list[tuple[Any, ...]]:
    """Return what was told of an image; an update that follows one tells no more."""
    found = []
    for _, message, priority, _ in bus.NOTIFICATIONS:
        payload, event = message["payload"], message["event_type"]
        if event.startswith("image."):
            where = payload.get("backend") if isinstance(payload, dict) else None
            found.append((priority, event, where))
    return [each for each, _ in groupby(found)]


Run = Callable[[World, str, str], None]


@pytest.mark.parametrize("run", [_by_glance, _by_us])
def test_a_copy_that_succeeds(world: World, run: Run) -> None:
    image = _image(world)
    run(world, image, world.task(image))
    assert world.stores(image) == {"central", "edge1"}
    assert _of_image() == [
        ("INFO", "image.update", None),
        ("INFO", "image.prepare", "edge1"),
        ("INFO", "image.upload", None),
        ("INFO", "image.update", None),
    ]
    (told,) = [
        message["payload"]
        for _, message, *_ in bus.NOTIFICATIONS
        if message["event_type"] == "image.prepare"
    ]
    assert told["id"] == image
    assert told["os_glance_importing_to_stores"] == ["edge1"]


def _fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store be full, for Glance and for us."""

    def full(*_: object) -> None:
        raise NoSpaceError("store edge1 is full")

    monkeypatch.setattr(here().copying.stores[StoreName("edge1")], "draft", full)
    (world.folder / "edge1").rmdir()


@pytest.mark.parametrize("run", [_by_glance, _by_us])
def test_a_copy_that_fails(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = _image(world)
    _fails(world, monkeypatch)
    run(world, image, world.task(image))
    assert world.stores(image) == {"central"}
    assert _of_image() == [
        ("INFO", "image.update", None),
        ("INFO", "image.prepare", "edge1"),
        ("ERROR", "image.upload", None),
        ("INFO", "image.update", None),
    ]


def test_what_is_disabled_is_not_told(world: World) -> None:
    CONF.set_override("disabled_notifications", ["image"])
    image = _image(world)
    _by_us(world, image, world.task(image))
    Notices(image).failed("for a reason")
    assert _of_image() == []


def test_a_bus_that_is_away_costs_no_copy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("no route to the bus")

    image = _image(world)
    task = world.task(image)
    monkeypatch.setattr("oslo_messaging.Notifier._notify", away)
    monkeypatch.setattr(world.tasks, "save", lambda _task: None)
    _by_us(world, image, task)
    assert world.stores(image) == {"central", "edge1"}
