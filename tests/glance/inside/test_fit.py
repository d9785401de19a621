"""What is copied by us, and what goes Glance's own way."""

from dataclasses import asdict
from pathlib import Path

import pytest
from oslo_config import cfg

from cowpath.core.errors import ConfigError
from cowpath.doors.glance import backends, here
from tests.glance.inside.world import STORES, World

CONF = cfg.CONF


def _goes_glances_way(world: World, image: str, *stores: str) -> bool:
    task = world.task(image)
    try:
        world.flow(image, task, *stores)
    except LookupError:
        return True
    return False


def test_between_stores_of_ours(world: World) -> None:
    assert not _goes_glances_way(world, world.image(), "edge1", "edge2")


def test_to_a_store_that_only_glance_can_write(world: World) -> None:
    CONF.set_override("enabled_backends", {**CONF.enabled_backends, "web": "http"})
    assert _goes_glances_way(world, world.image(), "edge1", "web")


def test_to_glance_s_own_stores(world: World) -> None:
    assert _goes_glances_way(world, world.image(), "os_glance_staging_store")


def test_from_where_a_store_s_images_are_not(world: World, tmp_path: Path) -> None:
    """Such as one from before the directory was another."""
    told = {"url": f"file://{tmp_path}/old/image", "metadata": {"store": "central"}}
    image = world.image(locations=[{**told, "status": "active"}])
    assert _goes_glances_way(world, image, "edge1")


def test_two_names_for_one_place(world: World) -> None:
    folder = CONF["edge1"].filesystem_store_datadir
    CONF.set_override("filesystem_store_datadir", f"{folder}/", group="edge2")
    assert set(backends.stores()) == {"central"}
    assert _goes_glances_way(world, world.image(), "edge1")


def test_what_a_store_s_group_does_not_say_the_shared_one_says(world: World) -> None:
    CONF.set_override("filesystem_store_file_perm", 640, group="backend_defaults")
    CONF.set_override("filesystem_store_file_perm", 600, group="edge2")
    told = {name: asdict(each) for name, each in backends.stores().items()}
    modes = {name: each["permissions"] for name, each in told.items()}
    assert modes == {"central": 0o640, "edge1": 0o640, "edge2": 0o600}
    assert {each["folder"] for each in told.values()} == {
        str(world.folder / name) for name in STORES
    }


@pytest.mark.parametrize(
    "line", ["bandwidth = centrl:*=10M", "source_costs = centrl=1"]
)
@pytest.mark.usefixtures("world")
def test_a_store_that_glance_does_not_have(line: str, tmp_path: Path) -> None:
    file = tmp_path / "glance-api.conf"
    file.write_text(f"[cowpath]\n{line}\n")
    with pytest.raises(ConfigError, match="centrl: no such store in enabled_backends"):
        here._settings((str(file),))
