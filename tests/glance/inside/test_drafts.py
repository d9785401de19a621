"""What copies leave in stores that do not answer, once its image is deleted."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cowpath.core.errors import UnavailableError
from cowpath.core.model import Image, StoreName
from cowpath.doors.glance import recovery
from cowpath.doors.glance.drafts import Kept
from cowpath.doors.glance.here import here
from cowpath.stores.file._draft import FileDraft
from cowpath.wiring import Copying
from tests.glance.inside.world import CONTENT, World

EDGE = StoreName("edge1")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def kept(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an image whose copy failed as a store went away, and left its draft."""

    def away(*_: object) -> None:
        raise UnavailableError("the store of edge1 does not answer")

    image = world.image()
    task = world.task(image)
    with monkeypatch.context() as trouble:
        trouble.setattr(FileDraft, "publish", away)
        world.run(world.flow(image, task, "edge1"))
    found = world.db.task_get(world.context, task)
    assert "is kept there" in found["message"]
    assert _names(world.folder / "edge1") == [f".cowpath-copy-{image}"]
    return image


def _delete(world: World, image: str, status: str = "deleted") -> None:
    if status == "deleted":
        world.db.image_destroy(world.context, image)
    world.db.image_update(world.context, image, {"status": status})


def _look() -> None:
    recovery.take_up(here(), lambda work: work())


def test_it_goes_once_the_image_is_deleted(world: World, kept: str) -> None:
    _look()
    assert _names(world.folder / "edge1") == [f".cowpath-copy-{kept}"]
    _delete(world, kept)
    _look()
    assert _names(world.folder / "edge1") == []
    assert list(here().drafts.kept()) == []


def test_it_stays_while_the_image_can_be_restored(world: World, kept: str) -> None:
    _delete(world, kept, "pending_delete")
    _look()
    assert _names(world.folder / "edge1") == [f".cowpath-copy-{kept}"]


def test_the_next_copy_has_it(world: World, kept: str) -> None:
    world.run(world.flow(kept, world.task(kept), "edge1"))
    assert (world.folder / "edge1" / kept).read_bytes() == CONTENT
    assert list(here().drafts.kept()) == []


def test_a_store_that_is_still_away_is_asked_again_later(
    world: World, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once only in each look, however much lies there: it may take long."""
    asked = []

    def away(_copying: Copying, image: Image, _store: str) -> None:
        asked.append(image.id)
        raise UnavailableError("the store of edge1 does not answer")

    other = world.image()
    here().drafts.note(Kept(other, EDGE, len(CONTENT)))
    for image in (kept, other):
        _delete(world, image)
    with monkeypatch.context() as trouble:
        trouble.setattr(Copying, "forget", away)
        _look()
    assert len(asked) == 1
    assert len(list(here().drafts.kept())) == 2
    _look()
    assert _names(world.folder / "edge1") == []
    assert list(here().drafts.kept()) == []


def test_what_somebody_else_has_put_there_stays(world: World, kept: str) -> None:
    theirs = world.folder / "edge1" / kept
    theirs.write_bytes(b"somebody else's")
    _delete(world, kept)
    _look()
    assert theirs.read_bytes() == b"somebody else's"
    assert list(here().drafts.kept()) == []


def test_it_goes_from_a_full_store_too(
    world: World, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _delete(world, kept)
    full = SimpleNamespace(f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    _look()
    assert _names(world.folder / "edge1") == []
    assert list(here().drafts.kept()) == []


def test_of_an_image_without_bytes_nothing_lies_anywhere(world: World) -> None:
    """Nobody could look for it: a draft has its image's size."""
    here().drafts.note(Kept(world.image(), EDGE, 0))
    assert list(here().drafts.kept()) == []


def test_a_note_that_is_not_whole_is_removed(world: World) -> None:
    folder = world.folder / "os_glance_staging_store" / ".cowpath"
    here().drafts.note(Kept(world.image(), EDGE, 1))
    (folder / "half.draft").write_text('{"image": "')
    assert len(list(here().drafts.kept())) == 1
    assert not (folder / "half.draft").exists()
