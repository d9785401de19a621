"""Copies to several stores that are killed between one location and the next."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from cowpath.core.errors import CopyError, NoSpaceError
from cowpath.core.model import StoreName
from cowpath.doors.glance import recovery
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import FAILED, LOCK, Ledger
from cowpath.doors.glance.records import Order
from cowpath.stores.file.copy import FileImageStore
from tests.glance.inside.world import CONTENT, World


class _KilledError(BaseException):
    """Nothing of the process runs on."""


def _killed(*_: object) -> None:
    raise _KilledError


def _run_to_its_death(world: World, made: Any) -> Here:
    with pytest.raises(_KilledError):
        world.run(made)
    for task, _ in made.iter_nodes():
        task._copy.leave()
    return here()


def _dies_at(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """Have the process end before a store's location is added."""
    add: Callable[..., None] = Ledger.add

    def added(ledger: Ledger, name: str, location: Any) -> None:
        if name == store:
            raise _KilledError
        add(ledger, name, location)

    monkeypatch.setattr(Ledger, "add", added)


def _is_full(monkeypatch: pytest.MonkeyPatch, site: Here, store: str) -> None:
    def full(*_: object) -> None:
        raise NoSpaceError(f"store {store} is full")

    monkeypatch.setattr(site.copying.stores[StoreName(store)], "draft", full)


def _half_listed(world: World, monkeypatch: pytest.MonkeyPatch, *, must: bool) -> Any:
    """Return an image and its task: listed in edge1, killed before edge2."""
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1", "edge2", must=must)
    with monkeypatch.context() as trouble:
        _dies_at(trouble, "edge2")
        site = _run_to_its_death(world, made)
    assert world.stores(image) == {"central", "edge1"}
    _is_full(monkeypatch, site, "edge2")
    recovery.take_up(site, lambda work: work())
    assert list(site.records.left_behind()) == []
    return image, task


def test_what_was_listed_before_a_kill_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, task = _half_listed(world, monkeypatch, must=True)
    assert world.stores(image) == {"central"}
    assert list((world.folder / "edge1").iterdir()) == []
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert "Not copied to edge2: " in found["message"]
    assert "Not kept in edge1: " in found["message"]
    assert world.properties(image)[FAILED] == "edge2"
    assert world.importing(image) == ""
    assert LOCK not in world.properties(image)


def test_where_not_all_must_have_it_what_was_listed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, task = _half_listed(world, monkeypatch, must=False)
    assert world.stores(image) == {"central", "edge1"}
    assert (world.folder / "edge1" / image).read_bytes() == CONTENT
    assert world.db.task_get(world.context, task)["status"] == "success"
    assert world.properties(image)[FAILED] == "edge2"


def test_what_the_image_had_before_the_copy_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what this copy had listed is taken back."""
    image = world.image()
    world.run(world.flow(image, world.task(image), "edge1"))
    task = world.task(image)
    site = here()
    world.ledger(image, task).begin(["edge1", "edge2"])
    order = Order(task, image, ("edge1", "edge2"), all_or_none=True)
    site.records.begin(order).leave()
    _is_full(monkeypatch, site, "edge2")
    recovery.take_up(site, lambda work: work())
    assert world.stores(image) == {"central", "edge1"}
    assert (world.folder / "edge1" / image).read_bytes() == CONTENT


def test_a_copy_that_was_killed_once_it_was_listed_is_ours_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With our mark a later call could take it for a draft."""
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1")
    with monkeypatch.context() as trouble:
        trouble.setattr(FileImageStore, "listed", _killed)
        site = _run_to_its_death(world, made)
    copied = world.folder / "edge1" / image
    assert os.listxattr(copied) == ["user.cowpath.copy"]
    recovery.take_up(site, lambda work: work())
    assert os.listxattr(copied) == []
    assert world.stores(image) == {"central", "edge1"}
    assert world.db.task_get(world.context, task)["status"] == "success"


def test_a_record_tells_what_was_listed_and_has_one_length(world: World) -> None:
    """It is readable whenever its process is killed."""
    image = world.image()
    order = Order(world.task(image), image, ("edge1", "edge2"), all_or_none=True)
    held = here().records.begin(order)
    (file,) = (world.folder / "os_glance_staging_store" / ".cowpath").iterdir()
    length = file.stat().st_size
    for store in ("edge2", "edge1", "edge2"):
        held.note_listed([*held.order.listed, store])
    held.count(2)
    assert json.loads(file.read_text())["listed"] == ["edge2", "edge1"]
    held.note_listed([])
    assert file.stat().st_size == length
    held.leave()
    ((again),) = here().records.left_behind()
    assert (again.order.listed, again.order.tries) == ((), 2)
    again.done()


def test_what_could_not_be_taken_back_stays_with_its_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = world.image()
    task = world.task(image)
    made = world.flow(image, task, "edge1", "edge2")
    add: Callable[..., None] = Ledger.add
    drop: Callable[..., None] = Ledger.drop
    refused: list[str] = []

    def added(ledger: Ledger, store: str, location: Any) -> None:
        if store == "edge2":
            raise CopyError("edge2 is refused")
        add(ledger, store, location)

    def dropped(ledger: Ledger, store: str) -> None:
        if not refused:
            refused.append(store)
            raise CopyError("not at the moment")
        drop(ledger, store)

    monkeypatch.setattr(Ledger, "add", added)
    monkeypatch.setattr(Ledger, "drop", dropped)
    world.run(made)
    assert refused == ["edge1"]
    assert world.stores(image) == {"central", "edge1"}
    assert (world.folder / "edge1" / image).read_bytes() == CONTENT
    found = world.db.task_get(world.context, task)
    assert found["status"] == "failure"
    assert found["message"].startswith("Copied to edge1. Not copied to edge2: ")
