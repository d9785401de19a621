"""What a user's change takes back that overtook a copy is mended afterwards."""

import os

import pytest
from oslo_config import cfg

from cowpath.core.model import Location, StoreName
from cowpath.doors.glance.here import here
from cowpath.doors.glance.later import Aftercare
from cowpath.doors.glance.ledger import LOCK
from cowpath.doors.glance.records import Order
from tests.glance.inside.world import World

EDGE = StoreName("edge1")


@pytest.fixture
def copied(world: World) -> tuple[str, str]:
    """Return an image with a copy in edge1, and the copy's task."""
    image = world.image()
    task = world.task(image)
    world.run(world.flow(image, task, "edge1"))
    assert world.stores(image) == {"central", "edge1"}
    return image, task


def _care(world: World, copied: tuple[str, str]) -> Aftercare:
    url = f"file://{world.folder}/edge1/{copied[0]}"
    added = {EDGE: Location(url, EDGE)}
    order = Order(copied[1], copied[0], ("edge1",), all_or_none=True)
    return Aftercare(world.ledger(*copied), order, added, here().copying)


def test_nothing_is_written_where_nothing_was_taken_back(
    world: World, copied: tuple[str, str]
) -> None:
    before = world.db.image_get(world.context, copied[0])["updated_at"]
    assert _care(world, copied).look()
    assert world.db.image_get(world.context, copied[0])["updated_at"] == before


def test_a_location_that_a_save_dropped_is_added_again(
    world: World, copied: tuple[str, str]
) -> None:
    image, task = copied
    world.ledger(image, task).drop("edge1")
    assert world.stores(image) == {"central"}
    assert _care(world, copied).look()
    assert world.stores(image) == {"central", "edge1"}


def test_a_location_whose_bytes_are_gone_was_removed_on_purpose(
    world: World, copied: tuple[str, str]
) -> None:
    image, task = copied
    world.ledger(image, task).drop("edge1")
    (world.folder / "edge1" / image).unlink()
    assert _care(world, copied).look()
    assert world.stores(image) == {"central"}


def test_a_location_that_a_scrubber_is_to_remove_was_removed_on_purpose(
    world: World, copied: tuple[str, str]
) -> None:
    """With delayed_delete the bytes are there for a while."""
    image, _ = copied
    (row,) = [
        each
        for each in world.db.image_get(world.context, image)["locations"]
        if each["metadata"]["store"] == "edge1"
    ]
    world.db.image_location_delete(world.context, image, row["id"], "pending_delete")
    assert _care(world, copied).look()
    assert world.stores(image) == {"central"}


def test_flags_that_a_save_put_back_are_cleared(
    world: World, copied: tuple[str, str]
) -> None:
    image, _ = copied
    flags = {"properties": {"os_glance_importing_to_stores": "edge1"}}
    world.db.image_update(world.context, image, flags)
    assert _care(world, copied).look()
    assert world.importing(image) == ""


def test_the_next_import_s_flags_are_its_own(
    world: World, copied: tuple[str, str]
) -> None:
    image, _ = copied
    other = world.task(image)
    world.ledger(image, other).begin(["edge1"])
    assert not _care(world, copied).look()
    assert world.importing(image) == "edge1"
    assert world.properties(image)[LOCK] == other


def test_the_bytes_of_an_image_that_is_gone_go_too(
    world: World, copied: tuple[str, str]
) -> None:
    """As where a DELETE had read the image before our location was added."""
    image, _ = copied
    world.db.image_destroy(world.context, image)
    world.db.image_update(world.context, image, {"status": "deleted"})
    assert (world.folder / "edge1" / image).exists()
    assert not _care(world, copied).look()
    assert not (world.folder / "edge1" / image).exists()


def test_urls_are_encrypted_where_glance_s_are(world: World) -> None:
    key = "0123456789abcdef"
    cfg.CONF.set_override("metadata_encryption_key", key)
    image = world.image()
    task = world.task(image)
    world.run(world.flow(image, task, "edge1"))
    seen = world.images.get(image)
    assert {each["url"].rpartition("/")[0] for each in seen.locations} == {
        f"file://{world.folder}/{store}" for store in ("central", "edge1")
    }
    (kept,) = [
        each["url"]
        for each in world.db.image_get(world.context, image)["locations"]
        if each["metadata"]["store"] == "edge1"
    ]
    assert "edge1" not in kept


def test_a_store_that_could_not_be_told_is_told_later(
    world: World, copied: tuple[str, str]
) -> None:
    """That Glance lists what a process that was killed had published there."""
    image, task = copied
    file = world.folder / "edge1" / image
    os.setxattr(file, "user.cowpath.copy", b"anything")
    order = Order(task, image, ("edge1",), all_or_none=True)
    ledger = world.ledger(*copied)
    assert Aftercare(ledger, order, {}, here().copying).look()
    assert os.listxattr(file) == []
