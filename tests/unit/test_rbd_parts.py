"""The pure parts of the RBD store: addresses, URLs, errnos, marks, bounds."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from cowpath.core.model import Bytes, ImageId, RbdHost, StoreName
from cowpath.stores.rbd import _caps, _health, _marks, _monitors, _notes
from cowpath.stores.rbd._failures import Doing, meaning, not_connected, surely_refused
from cowpath.stores.rbd._places import Place, parse
from cowpath.stores.rbd.config import RbdConfig
from lab.ceph_users import USERS

_IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
_SRC = Path(__file__).parents[2] / "src"
_DOING = Doing("clone images/x@snap to vms/y", "client.cowpath", "osd 'profile rbd'")

_parts = st.text(min_size=1, max_size=20)


# Places


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_none(text: str) -> None:
    for url in (text, f"rbd://{text}", f"rbd://{text}/images/x/snap"):
        place = parse(url)
        assert place is None or all(
            (place.fsid, place.pool, place.image, place.snapshot)
        )


@given(_parts, _parts, _parts, _parts)
def test_glances_urls_come_back(fsid: str, pool: str, image: str, snap: str) -> None:
    # glance_store quotes every part, slashes too.
    url = "rbd://" + "/".join(
        quote(part, safe="") for part in (fsid, pool, image, snap)
    )
    assert parse(url) == Place(fsid, pool, image, snap)


@given(st.lists(st.sampled_from(["a", "b c", "%2F", ""]), max_size=8))
def test_exactly_four_parts_that_are_not_empty(parts: list[str]) -> None:
    place = parse("rbd://" + "/".join(parts))
    assert (place is not None) is (len(parts) == 4 and all(parts))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rbd://",
        "rbd://x",
        "rbd:///images/x/snap",
        "RBD://f/images/x/snap",
        "rbd:/f/images/x/snap",
        " rbd://f/images/x/snap",
        "file:///images/x/snap",
        "rbd://f/images/x/snap/",
    ],
)
def test_what_is_no_place(url: str) -> None:
    assert parse(url) is None


# Monitors


def _monitor(*addresses: tuple[str, str], **more: str) -> dict[str, Any]:
    vector = [{"type": kind, "addr": addr, "nonce": 0} for kind, addr in addresses]
    return {"public_addrs": {"addrvec": vector}, **more}


@pytest.mark.parametrize(
    ("monitor", "host"),
    [
        (_monitor(("v1", "10.0.0.1:6789")), RbdHost("10.0.0.1", 6789)),
        (_monitor(("v2", "10.0.0.1:3300")), RbdHost("10.0.0.1", 3300)),
        (
            _monitor(("v2", "10.0.0.1:3300"), ("v1", "10.0.0.1:6789")),
            RbdHost("10.0.0.1", 6789),
        ),
        (_monitor(("any", "10.0.0.1:6789")), RbdHost("10.0.0.1", 6789)),
        (_monitor(("v1", "[::1]:6789")), RbdHost("::1", 6789)),
        (
            _monitor(("v2", "[fd00::a]:3300"), ("v1", "[fd00::a]:6789")),
            RbdHost("fd00::a", 6789),
        ),
        ({"addr": "10.0.0.1:6789/0"}, RbdHost("10.0.0.1", 6789)),
        ({"addr": "[fd00::a]:6789/12"}, RbdHost("fd00::a", 6789)),
        (
            _monitor(("v2", "10.0.0.1:3300"), addr="10.0.0.1:6789/0"),
            RbdHost("10.0.0.1", 3300),
        ),
    ],
)
def test_a_monitors_address(monitor: dict[str, Any], host: RbdHost) -> None:
    assert _monitors.hosts({"mons": [monitor]}) == (host,)


def test_every_monitor_is_named() -> None:
    monitors = [_monitor(("v1", f"10.0.0.{each}:6789")) for each in (1, 2, 3)]
    names = [host.name for host in _monitors.hosts({"mons": monitors})]
    assert names == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert _monitors.hosts({}) == ()


def test_a_monitor_without_an_address_that_we_know_is_passed_over() -> None:
    odd = _monitor(("msgr9", "10.0.0.9:1"))
    plain = _monitor(("v1", "10.0.0.1:6789"))
    assert _monitors.hosts({"mons": [odd, plain, {}]}) == (RbdHost("10.0.0.1", 6789),)


# Errnos


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.ETIMEDOUT, UnavailableError, "ceph -s"),
        (errno.EIO, UnavailableError, "ceph -s"),
        (errno.ECONNREFUSED, UnavailableError, "ceph -s"),
        (errno.EROFS, UnavailableError, "ceph -s"),
        (errno.ESHUTDOWN, UnavailableError, "blocklist"),
        (errno.ENOTCONN, UnavailableError, "blocklist"),
        (errno.EPERM, ForbiddenError, "osd 'profile rbd'"),
        (errno.EACCES, ForbiddenError, "osd 'profile rbd'"),
        (errno.ENOSPC, NoSpaceError, "full"),
        (errno.EDQUOT, NoSpaceError, "quota"),
        (errno.EBUSY, ConflictError, "in use"),
        (errno.ENOTEMPTY, ConflictError, "depend"),
        (errno.EEXIST, ConflictError, "another name"),
        (errno.ENOENT, NotFoundError, ""),
        (errno.EINVAL, UsageError, ""),
        (errno.EDOM, UsageError, ""),
        (0, UnavailableError, ""),
        (9999, UnavailableError, ""),
    ],
)
def test_what_an_errno_means(number: int, kind: type[CowpathError], word: str) -> None:
    error = meaning(number, "its words", _DOING)
    assert type(error) is kind
    assert error.retryable is (kind is UnavailableError)
    for expected in ("clone images/x@snap to vms/y", "client.cowpath", "its words"):
        assert expected in str(error)
    assert word in str(error)


@given(st.integers(0, 200))
def test_every_errno_means_something(number: int) -> None:
    assert isinstance(meaning(number, "its words", _DOING), CowpathError)
    assert isinstance(not_connected(number, "its words", "x"), CowpathError)


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.EACCES, ForbiddenError, "keyring"),
        (errno.EPERM, ForbiddenError, "ceph auth get"),
        (errno.ENOENT, ConfigError, "mon_host"),
        (errno.EINVAL, ConfigError, "malformed"),
        (errno.EIO, ConfigError, "keyring"),
        (errno.ETIMEDOUT, UnavailableError, "ceph -s"),
    ],
)
def test_what_an_errno_of_connecting_means(
    number: int, kind: type[CowpathError], word: str
) -> None:
    error = not_connected(number, "its words", "client.x with y.conf")
    assert type(error) is kind
    assert "client.x with y.conf" in str(error)
    assert word in str(error)


def test_no_answer_is_no_refusal() -> None:
    assert surely_refused(errno.EEXIST)
    assert surely_refused(errno.ENOSPC)
    assert not surely_refused(errno.ETIMEDOUT)
    assert not surely_refused(errno.ESHUTDOWN)
    assert not surely_refused(0)


# Marks


def test_a_mark_is_read_where_it_was_made_only() -> None:
    mark = _marks.Mark(_IMAGE, "1f2e")
    assert _marks.read(mark.text(), "1f2e") == mark
    # What librbd copied to a clone's clone.
    assert _marks.read(mark.text(), "1f2f") is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[]",
        "null",
        "1",
        '"x"',
        '{"format": 1}',
        '{"format": 1, "image": "x", "rbd_id": "1f2e"}',
        '{"format": 1, "image": null, "rbd_id": "1f2e"}',
        f'{{"format": 2, "image": "{_IMAGE}", "rbd_id": "1f2e"}}',
    ],
)
def test_what_is_no_mark(text: str | None) -> None:
    assert _marks.read(text, "1f2e") is None


@given(st.text())
def test_any_metadata_is_read(text: str) -> None:
    assert _marks.read(text, "1f2e") is None


# Notes


@pytest.mark.parametrize(
    ("after", "ours"),
    [(0, True), (35, True), (40, True), (41, False), (-1, True), (-1.1, False)],
)
def test_a_note_explains_what_was_made_soon_after(after: float, *, ours: bool) -> None:
    size = Bytes(2**20 + 1)
    note = _notes.read(_notes.text(_IMAGE, 1.8e9, size))
    assert note == _notes.Note(_IMAGE, 1.8e9, size)
    assert note.explains(1.8e9 + after, within=35) is ours


@pytest.mark.parametrize("began", ["", " ", " x", " nan", " inf", " -inf", " x 2"])
def test_a_note_without_a_time_explains_nothing(began: str) -> None:
    note = _notes.read(f"{_IMAGE}{began}")
    assert note == _notes.Note(_IMAGE, None)
    for made in (0.0, 1.8e9, float("inf"), -float("inf")):
        assert not note.explains(made, within=1e12)


@pytest.mark.parametrize("size", ["", " ", " x", " -1", " 1.5", " 1 2"])
def test_a_note_without_a_size_has_none(size: str) -> None:
    assert _notes.read(f"{_IMAGE} 1.5{size}") == _notes.Note(_IMAGE, 1.5)


@given(st.text(max_size=60))
def test_any_note_is_read(written: str) -> None:
    assert not _notes.read(written).explains(-float("inf"), within=35)


# Health


def _check(message: str, *details: str) -> dict[str, Any]:
    told = [{"message": each} for each in details]
    return {"summary": {"message": message}, "detail": told}


def _pool(flags: str = "hashpspool") -> dict[str, Any]:
    return {"pool_name": "images", "flags_names": flags}


def test_what_keeps_a_pool_from_taking_bytes_is_told() -> None:
    checks = {
        "POOL_FULL": _check(
            "2 pool(s) full", "pool 'vms' is full", "pool 'images' is full (no space)"
        ),
        "OSD_DOWN": _check("1 osds down", "osd.0 is down"),
        "OSDMAP_FLAGS": _check("pauserd,pausewr,noout flag(s) set"),
        "MON_CLOCK_SKEW": _check("clock skew detected on mon.b"),
        "PG_DEGRADED": _check("Degraded data redundancy"),
        "POOL_NO_REDUNDANCY": _check("1 pool(s) have no replicas configured"),
    }
    assert _health.ailments({"checks": checks}, _pool("full,full_quota")) == (
        "OSDMAP_FLAGS: pauserd,pausewr,noout flag(s) set",
        "OSD_DOWN: 1 osds down",
        "POOL_FULL: pool 'images' is full (no space)",
    )


@pytest.mark.parametrize(
    "checks",
    [
        {},
        {"POOL_FULL": _check("1 pool(s) full", "pool 'vms' is full")},
        {"POOL_FULL": _check("1 pool(s) full", "pool 'images2' is full")},
        {"OSDMAP_FLAGS": _check("noout,nobackfill flag(s) set")},
        {"OSDMAP_FLAGS": {}},
        {"MON_DOWN": _check("1/3 mons down")},
    ],
)
def test_what_does_not_keep_it_is_not_told(checks: dict[str, Any]) -> None:
    assert _health.ailments({"checks": checks}, _pool()) == ()


@pytest.mark.parametrize(
    "code", ["OSD_DOWN", "OSD_HOST_DOWN", "OSD_CHASSIS_DOWN", "OSD_MY-ZONE_DOWN"]
)
def test_osds_that_are_down_are_told_whatever_they_are_in(code: str) -> None:
    told = _health.ailments({"checks": {code: _check("1 x down")}}, _pool())
    assert told == (f"{code}: 1 x down",)


@pytest.mark.parametrize("code", ["POOL_NEARFULL", "POOL_NEAR_FULL"])
def test_a_pool_that_is_nearly_full_is_told(code: str) -> None:
    checks = {code: _check("1 pool(s)", "pool 'images' is nearfull")}
    told = _health.ailments({"checks": checks}, _pool())
    assert told == (f"{code}: pool 'images' is nearfull",)


def test_flags_are_seen_before_the_health_tells() -> None:
    full = _pool("hashpspool,full,full_quota")
    assert _health.is_full(full)
    told = _health.ailments({}, full)
    assert told == ("pool images has flags full and full_quota",)
    assert not _health.is_full(_pool("hashpspool,nearfull"))


# Room


@pytest.mark.parametrize(
    ("quota", "free"),
    [
        ({}, 100),
        ({"quota_max_bytes": 60}, 20),
        ({"quota_max_bytes": 30}, 0),
        ({"quota_max_objects": 8}, 100),
        ({"quota_max_objects": 7}, 0),
        ({"quota_max_objects": 6, "quota_max_bytes": 60}, 0),
        ({"flags_names": "full"}, 0),
    ],
)
def test_what_a_pool_takes(quota: dict[str, Any], free: int) -> None:
    limits = {"quota_max_bytes": 0, "quota_max_objects": 0}
    stats = {"max_avail": 100, "stored": 40, "objects": 7}
    assert _health.free(stats, _pool() | limits | quota) == free


# Repairs


def test_the_labs_user_of_repairs_has_the_caps_that_messages_name() -> None:
    caps = USERS["cowpath-repair"].caps
    assert _caps.repair("images") == f"mon '{caps['mon']}' osd '{caps['osd']}'"


# What it must be told


def _config(**changed: Any) -> RbdConfig:
    given: dict[str, Any] = {"pool": "vms", "images_pools": ("images",), **changed}
    return RbdConfig(StoreName("edge"), **given)


@pytest.mark.parametrize("pool", ["", "a/b", "a@b", "a b", "a\nb", "a\0b"])
def test_pools_have_names(pool: str) -> None:
    for changed in ({"pool": pool}, {"images_pools": ("images", pool)}):
        with pytest.raises(ConfigError, match="pool"):
            _config(**changed)


def test_images_lie_in_some_pool() -> None:
    with pytest.raises(ConfigError, match="images_pool"):
        _config(images_pools=())


@pytest.mark.parametrize("bound", ["connect_timeout", "op_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, -0.5])
def test_ceph_is_never_waited_for_without_a_bound(bound: str, seconds: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        _config(**{bound: seconds})
    _config(**{bound: 0.5})


# Without Ceph's bindings

_WITHOUT = """
import sys
from cowpath.core.errors import ConfigError
from cowpath.stores import STORES
from cowpath.stores.rbd.config import RbdConfig
sys.modules[{missing!r}] = None
config = RbdConfig("edge", "vms", ("images",))
try:
    STORES["rbd"].make(config)
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["rados", "rbd"])
def test_bindings_that_are_not_there_are_named(missing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(missing=missing)],
        env={"PYTHONPATH": str(_SRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    for expected in ("store edge", sys.executable, f"python3-{missing}", missing):
        assert expected in done.stdout


@pytest.mark.parametrize("images", [("vms",), ("images", "vms")])
def test_disks_and_images_need_a_pool_each(images: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="a pool of their own"):
        _config(images_pools=images)
