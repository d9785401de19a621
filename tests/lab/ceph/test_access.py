"""Wrong keyrings, caps that are too small, pools that are not there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cowpath.core.errors import ConfigError, ForbiddenError, UnavailableError
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    Image,
    ImageId,
    RbdSource,
    StoreName,
)
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.store import RbdStore
from tests.lab.ceph.cluster import Ceph, without
from tests.lab.ceph.rbd_doors import RbdDoors

pytestmark = pytest.mark.ceph

_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
_SIZE = Bytes(2**20)
_ASKED = Image(_IMAGE, size=_SIZE, stores=frozenset({StoreName("edge")}))
_BASE = Base(_IMAGE, f"images/{_IMAGE}@snap", _SIZE)
_NAME = DiskName("suite-forbidden")
_DISK = Disk(_NAME, _SIZE, RbdSource("vms", _NAME))


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


def _store(ceph: Ceph, keyring: Path | str, user: str, disks: str = "vms") -> RbdStore:
    """Return a store of the lab's own pools, for whoever has that keyring."""
    conf = ceph.client_conf(Path(keyring).with_name("ceph.conf"), keyring)
    return RbdStore(
        RbdConfig(StoreName("edge"), disks, ("images",), conf=str(conf), user=user)
    )


# Keyrings and ceph.conf


def test_a_keyring_that_is_not_there(edge: Ceph, keyring: Path) -> None:
    store = _store(edge, keyring, "cowpath")
    with pytest.raises(ForbiddenError, match=r"client\.cowpath .*keyring is not there"):
        store.find_base(_ASKED)
    # Put there, the same store works.
    keyring.write_text(Path(edge.keyrings["cowpath"]).read_text())
    assert store.find_base(_ASKED) is None
    store.close()


@pytest.mark.parametrize("whose", ["another user's", "another cluster's"])
def test_a_key_that_is_wrong(
    edge: Ceph, central: Ceph, keyring: Path, whose: str
) -> None:
    ceph, user = (edge, "glance") if whose == "another user's" else (central, "cowpath")
    text = Path(ceph.keyrings[user]).read_text().replace(user, "cowpath")
    keyring.write_text(text)
    store = _store(edge, keyring, "cowpath")
    with pytest.raises(ForbiddenError, match="ceph auth get") as caught:
        store.find_base(_ASKED)
    key = text.partition("key = ")[2].strip()
    assert key not in str(caught.value)
    assert not caught.value.retryable


def test_a_keyring_of_another_user_only(edge: Ceph, keyring: Path) -> None:
    keyring.write_text(Path(edge.keyrings["cowpath-ro"]).read_text())
    with pytest.raises(ForbiddenError, match="keyring"):
        _store(edge, keyring, "cowpath").find_base(_ASKED)


def test_a_keyring_that_is_none(edge: Ceph, keyring: Path) -> None:
    keyring.write_text("[client.cowpath]\n key = AAAA\n")
    with pytest.raises(ConfigError, match=r"keyring.*malformed"):
        _store(edge, keyring, "cowpath").find_base(_ASKED)


@pytest.mark.parametrize("text", [None, "no { conf [[[", "[global]\n"])
def test_a_ceph_conf_that_is_none(tmp_path: Path, text: str | None) -> None:
    conf = tmp_path / "ceph.conf"
    if text is not None:
        conf.write_text(text)
    store = RbdStore(RbdConfig(StoreName("edge"), "vms", ("images",), conf=str(conf)))
    with pytest.raises(ConfigError, match=r"ceph\.conf .*missing") as caught:
        store.find_base(_ASKED)
    assert str(conf) in str(caught.value)


# Caps

_READING: dict[str, Callable[[RbdStore], object]] = {
    "find_base": lambda store: store.find_base(_ASKED),
    "arrival": lambda store: store.arrival(_ASKED),
}
_LOOKING: dict[str, Callable[[RbdStore], object]] = {
    "find_disk": lambda store: store.find_disk(_NAME),
    "untouched": lambda store: store.untouched(_DISK),
    "disks": lambda store: list(store.disks()),
}
_WRITING: dict[str, Callable[[RbdStore], object]] = {
    "clone": lambda store: store.clone(_BASE, _NAME),
    "grow": lambda store: store.grow(_DISK, Bytes(2 * _SIZE)),
    "delete": lambda store: store.delete(_NAME),
}


@pytest.fixture
def forbidden(edge: Ceph) -> None:
    """Have a disk in the lab's own pool that is not ours to touch."""
    edge.run("rbd", "create", "--size", "1M", f"vms/{_NAME}")


@pytest.fixture(autouse=True)
def _tidy(edge: Ceph) -> object:
    yield
    edge.drop("vms", _NAME)


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("verb", _WRITING)
def test_who_only_looks_changes_nothing(edge: Ceph, tmp_path: Path, verb: str) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text(Path(edge.keyrings["cowpath-ro"]).read_text())
    store = _store(edge, keyring, "cowpath-ro")
    with pytest.raises(ForbiddenError, match=r"client\.cowpath-ro") as caught:
        _WRITING[verb](store)
    assert "osd 'profile rbd pool=vms" in str(caught.value)
    # And the same store still looks.
    found = store.find_disk(_NAME)
    assert found is not None
    assert found.size == _SIZE
    store.close()


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("verb", [*_READING, *_LOOKING, *_WRITING])
def test_the_caps_that_it_takes_are_named(doors: RbdDoors, verb: str) -> None:
    """Client.suite has caps for pools of its own, not for these."""
    config = replace(doors.config, pool="vms", images_pools=("images",))
    store = RbdStore(config)
    with pytest.raises(ForbiddenError, match=r"client\.suite") as caught:
        (_READING | _LOOKING | _WRITING)[verb](store)
    told = str(caught.value)
    if verb in _WRITING:
        assert "osd 'profile rbd pool=vms" in told
    else:
        pool = "images" if verb in _READING else "vms"
        assert f"osd 'profile rbd-read-only pool={pool}'" in told
    store.close()


# Pools


def test_a_pool_that_is_not_there(doors: RbdDoors) -> None:
    disks = RbdStore(replace(doors.config, pool="nowhere"))
    images = RbdStore(replace(doors.config, images_pools=("nowhere",)))
    for call in (
        lambda: list(disks.disks()),
        lambda: disks.find_disk(_NAME),
        lambda: images.find_base(_ASKED),
        lambda: images.arrival(_ASKED),
    ):
        with pytest.raises(ConfigError, match="no pool nowhere") as caught:
            call()
        assert "suite-vms" in str(caught.value)
    disks.close()
    images.close()


def test_a_pool_that_comes_later(edge: Ceph, doors: RbdDoors) -> None:
    store = RbdStore(replace(doors.config, pool="suite-later"))
    with pytest.raises(ConfigError, match="no pool suite-later"):
        list(store.disks())
    edge.run("ceph", "osd", "pool", "create", "suite-later", "8")
    try:
        # We may not read it: but it is there.
        with pytest.raises(ForbiddenError, match="pool=suite-later"):
            list(store.disks())
    finally:
        sure = "--yes-i-really-really-mean-it"
        edge.run("ceph", "osd", "pool", "rm", "suite-later", "suite-later", sure)
    store.close()


def test_a_missing_pool_while_the_monitors_say_nothing(
    edge: Ceph, hasty: RbdDoors
) -> None:
    """open_ioctx would wait for ever; see `_librbd`."""
    store = RbdStore(replace(hasty.config, pool="nowhere"))
    with pytest.raises(ConfigError):
        list(store.disks())
    with without(edge, "edge-mon", "pause"), pytest.raises(UnavailableError):
        list(store.disks())
    with pytest.raises(ConfigError, match="no pool nowhere"):
        list(store.disks())
    store.close()
