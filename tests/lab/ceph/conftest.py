"""The lab of kind ceph; a lab that is down is a failure."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cowpath.core.model import StoreName
from cowpath.stores.rbd.config import RbdConfig
from lab.ceph_users import IMAGES_POOL, USERS
from tests.lab.ceph.ceph_bench import CephBench
from tests.lab.ceph.cluster import Ceph
from tests.lab.ceph.copy_doors import RbdImageDoors
from tests.lab.ceph.rbd_doors import EDGE, RbdDoors
from tests.lab.services import manifest

_POOLS = ("suite-images", "suite-vms")
_COPIES = "suite-copies"
"""A pool of Glance's, in both clusters."""


@pytest.fixture(scope="session")
def ceph_lab() -> dict[str, Any]:
    """Return what `python -m lab up --kind ceph` left in lab.json."""
    return manifest("ceph", "COWPATH_CEPH_LAB")


@pytest.fixture(scope="session")
def edge(ceph_lab: dict[str, Any]) -> Iterator[Ceph]:
    """Give the cluster of site edge, asked as its administrator."""
    ceph = Ceph(ceph_lab["clusters"]["edge"])
    yield ceph
    ceph.close()


@pytest.fixture(scope="session")
def central(ceph_lab: dict[str, Any]) -> Iterator[Ceph]:
    """Give the cluster of site central, asked as its administrator."""
    ceph = Ceph(ceph_lab["clusters"]["central"])
    yield ceph
    ceph.close()


@pytest.fixture(scope="session")
def suite_config(edge: Ceph, tmp_path_factory: pytest.TempPathFactory) -> RbdConfig:
    """Make two pools, and users with the caps of a compute host and of a repair.

    Its ceph.conf has no bounds: the store must bring its own.
    """
    images, disks = _POOLS
    for pool in _POOLS:
        if pool not in edge.json("ceph", "osd", "pool", "ls"):
            edge.run("ceph", "osd", "pool", "create", pool, "8")
            edge.run("rbd", "pool", "init", pool)
    users = {
        "suite": f"profile rbd pool={disks}, profile rbd-read-only pool={images}",
        "suite-repair": USERS["cowpath-repair"]
        .caps["osd"]
        .replace(f"pool={IMAGES_POOL}", f"pool={images}"),
    }
    keyring = tmp_path_factory.mktemp("suite") / "keyring"
    asked = ["ceph", "auth", "get-or-create"]
    keys = [
        edge.run(*asked, f"client.{name}", "mon", "profile rbd", "osd", caps)
        for name, caps in users.items()
    ]
    keyring.write_text("".join(keys))
    conf = edge.client_conf(keyring.with_name("ceph.conf"), keyring)
    return RbdConfig(
        EDGE,
        disks,
        (images,),
        conf=str(conf),
        user="suite",
        repair_user="suite-repair",
        op_timeout=20,
    )


@pytest.fixture
def doors(edge: Ceph, suite_config: RbdConfig) -> Iterator[RbdDoors]:
    """Give two empty pools."""
    yield from _opened(edge, suite_config)


@pytest.fixture
def hasty(edge: Ceph, suite_config: RbdConfig) -> Iterator[RbdDoors]:
    """Give two empty pools, and a store that soon gives up waiting."""
    yield from _opened(edge, replace(suite_config, connect_timeout=3, op_timeout=4))


def _opened(ceph: Ceph, config: RbdConfig) -> Iterator[RbdDoors]:
    with ExitStack() as leaving:
        made = RbdDoors(ceph, config, leaving)
        made.clean()
        yield made
        made.clean()


@pytest.fixture(scope="session")
def copy_target_config(
    edge: Ceph, tmp_path_factory: pytest.TempPathFactory
) -> RbdConfig:
    """Make a pool in edge, and Glance's user for it with the least that it needs."""
    osd = f"profile rbd pool={_COPIES}"
    return _copies(edge, "edge", osd, tmp_path_factory.mktemp("edge"))


@pytest.fixture(scope="session")
def copy_source_config(
    central: Ceph, tmp_path_factory: pytest.TempPathFactory
) -> RbdConfig:
    """Make a pool in central, and a user who may only read it."""
    osd = f"profile rbd-read-only pool={_COPIES}"
    return _copies(central, "central", osd, tmp_path_factory.mktemp("central"))


@pytest.fixture
def copy_target(edge: Ceph, copy_target_config: RbdConfig) -> Iterator[RbdImageDoors]:
    """Give an empty pool in edge."""
    yield from _opened_copies(edge, copy_target_config)


@pytest.fixture
def copy_source(
    central: Ceph, copy_source_config: RbdConfig
) -> Iterator[RbdImageDoors]:
    """Give an empty pool in central."""
    yield from _opened_copies(central, copy_source_config)


def _opened_copies(ceph: Ceph, config: RbdConfig) -> Iterator[RbdImageDoors]:
    host = replace(config, pool=_POOLS[1], user="suite-host", makes_disks=True)
    with ExitStack() as leaving:
        made = RbdImageDoors(ceph, config, host, leaving)
        made.clean()
        yield made
    made.clean()


def _copies(ceph: Ceph, name: str, osd: str, home: Path) -> RbdConfig:
    for pool in (_COPIES, _POOLS[1]):
        if pool not in ceph.json("ceph", "osd", "pool", "ls"):
            ceph.run("ceph", "osd", "pool", "create", pool, "8")
            ceph.run("rbd", "pool", "init", pool)
    reads = f"profile rbd pool={_POOLS[1]}, profile rbd-read-only pool={_COPIES}"
    users = {"suite-glance": osd, "suite-host": reads}
    asked = ["ceph", "auth", "get-or-create"]
    keyring = home / "keyring"
    keys = [
        ceph.run(*asked, f"client.{user}", "mon", "profile rbd", "osd", caps)
        for user, caps in users.items()
    ]
    keyring.write_text("".join(keys))
    conf = ceph.client_conf(home / "ceph.conf", keyring)
    return RbdConfig(
        StoreName(name),
        _COPIES,
        (_COPIES,),
        conf=str(conf),
        user="suite-glance",
        op_timeout=20,
        makes_disks=False,
    )


@pytest.fixture(scope="module")
def bench(ceph_lab: dict[str, Any], edge: Ceph, central: Ceph) -> Iterator[CephBench]:
    """Return hands for the lab; what they make is gone when the module ends."""
    made = CephBench(ceph_lab, {"edge": edge, "central": central})
    yield made
    made.clear()
