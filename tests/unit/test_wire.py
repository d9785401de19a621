"""Glance's JSON becomes images, and nothing that it says breaks anything else."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.catalog import wire
from cowpath.core.errors import CowpathError, UnavailableError
from cowpath.core.model import Location, StoreName

ID = "6f2e1c0a-0000-4000-8000-00000000000a"

_SHOWN: dict[str, Any] = {
    "id": ID,
    "name": "debian",
    "status": "active",
    "disk_format": "raw",
    "size": 1024,
    "min_disk": 2,
    "stores": "central,edge1",
    "os_glance_importing_to_stores": "edge2",
    "os_glance_failed_import": "",
    "os_glance_import_task": "4e8e1e2c",
    "locations": [
        {"url": "rbd://fsid/images/x/snap", "metadata": {"store": "central"}},
        {"url": "rbd://other/images/x/snap", "metadata": {}},
        {"url": "rbd://third/images/x/snap"},
    ],
    "direct_url": "rbd://fsid/images/x/snap",
    "os_hash_algo": "sha512",
    "os_hash_value": "abc",
    "visibility": "public",
    "created_at": "2026-11-22T10:00:00Z",
    "updated_at": "2026-11-22T11:00:00Z",
}


def test_all_that_glance_shows() -> None:
    image = wire.image(_SHOWN)
    assert (image.id, image.name, image.status) == (ID, "debian", "active")
    assert (image.disk_format, image.size, image.min_disk) == ("raw", 1024, 2)
    assert image.stores == {"central", "edge1"}
    assert image.importing == {"edge2"}
    assert image.failed == frozenset()
    assert image.lock == "4e8e1e2c"
    assert image.locations == (
        Location("rbd://fsid/images/x/snap", StoreName("central")),
        Location("rbd://other/images/x/snap"),
        Location("rbd://third/images/x/snap"),
    )
    assert image.hash == "sha512:abc"
    assert (image.visibility, image.created) == ("public", "2026-11-22T10:00:00Z")


_NOON = 1_795_348_800.0
"""2026-11-22T12:00:00Z."""


@pytest.mark.parametrize(
    ("updated", "date", "idle"),
    [
        ("2026-11-22T11:59:00Z", _NOON, 60.0),
        ("2026-11-22T12:59:00+01:00", _NOON, 60.0),
        ("2026-11-22T11:59:00", _NOON, 60.0),
        ("2026-11-22T11:58:59.500000", _NOON, 60.5),
        ("2026-11-22T12:00:00Z", _NOON, 0.0),
        ("2026-11-22T12:00:09Z", _NOON, 0.0),
        ("2026-11-22T11:59:00Z", None, None),
        ("soon", _NOON, None),
        ("", _NOON, None),
        (None, _NOON, None),
        (1_795_348_740, _NOON, None),
        ("9999-99-01T00:00:00Z", _NOON, None),
    ],
)
def test_how_long_nothing_changed_an_image(
    updated: object, date: float | None, idle: float | None
) -> None:
    told = {"id": ID, "updated_at": updated}
    image = wire.image(told, date)
    assert image.idle == idle
    (listed,) = wire.page({"images": [told]}, date).images
    assert listed.idle == image.idle


def test_what_a_queued_image_lacks() -> None:
    image = wire.image(
        {"id": ID, "name": None, "size": None, "disk_format": None, "status": "queued"}
    )
    assert (image.name, image.size, image.disk_format) == ("", None, None)
    assert (image.lock, image.hash, image.locations) == (None, None, ())


def test_hidden_locations_leave_the_direct_url() -> None:
    image = wire.image({"id": ID, "direct_url": "file:///a"})
    assert image.locations == (Location("file:///a"),)
    image = wire.image({"id": ID, "direct_url": "file:///a", "locations": []})
    assert image.locations == (Location("file:///a"),)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("dcn10", {"dcn10"}),
        ("dcn1,dcn10", {"dcn1", "dcn10"}),
        (" dcn1 , dcn10 ,", {"dcn1", "dcn10"}),
        (["dcn1", "dcn10"], {"dcn1", "dcn10"}),
        ("", set()),
        ([], set()),
        (None, set()),
        (7, set()),
        ([None, 7, "edge1"], {"edge1"}),
    ],
)
def test_store_lists(told: object, meant: set[str]) -> None:
    assert wire.image({"id": ID, "stores": told}).stores == meant


def test_properties_of_other_clients_are_understood() -> None:
    told = {"id": ID, "properties": {"os_glance_failed_import": "edge1"}}
    assert wire.image(told).failed == {"edge1"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        "<html>hello</html>",
        [],
        {},
        {"id": 7},
        {"id": "nope"},
        {"id": "../x"},
        {"id": ID + "\n"},
    ],
)
def test_what_is_no_image_is_not_glance(body: object) -> None:
    with pytest.raises(UnavailableError, match="not Glance"):
        wire.image(body)


@pytest.mark.parametrize("body", [None, "text", {}, {"images": {}}, {"images": [{}]}])
def test_what_is_no_page_is_not_glance(body: object) -> None:
    with pytest.raises(UnavailableError, match="not Glance"):
        wire.page(body)


def test_a_page_keeps_only_the_query_of_its_link() -> None:
    body = {
        "images": [{"id": ID}],
        "next": "http://evil.example/x?marker=a%26b&limit=2",
    }
    page = wire.page(body)
    assert [image.id for image in page.images] == [ID]
    assert page.next == "marker=a%26b&limit=2"
    assert wire.page({"images": []}).next is None


def test_ids_in_capitals_are_ids() -> None:
    body = {"images": [{"id": ID.upper()}, {"id": ID}]}
    assert [image.id for image in wire.page(body).images] == [ID.upper(), ID]


def test_stores_begin_with_the_default() -> None:
    body = {
        "stores": [
            {"id": "edge1"},
            {"id": "central", "default": "true"},
            {"id": "edge2", "description": "far"},
            {"no": "id"},
        ]
    }
    assert wire.stores(body) == ("central", "edge1", "edge2")
    with pytest.raises(UnavailableError, match="not Glance"):
        wire.stores({"versions": []})


def test_a_request_for_a_copy() -> None:
    stores = [StoreName("edge2"), StoreName("edge1")]
    assert wire.copy_request(stores) == {
        "method": {"name": "copy-image"},
        "stores": ["edge2", "edge1"],
        "all_stores_must_succeed": False,
    }


def test_complaints_lose_their_markup() -> None:
    body = {"message": "No image\nfound <br /><br />\n\n", "code": "404 Not Found"}
    assert wire.complaint(body) == "No image found"
    assert wire.complaint("<html>404</html>") is None
    assert wire.complaint({"error": {"message": "x"}}) is None


_STORES = st.frozensets(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True), max_size=4
)


@given(stores=_STORES, importing=_STORES, failed=_STORES, lock=st.none() | st.uuids())
def test_store_lists_round_trip(
    stores: frozenset[str],
    importing: frozenset[str],
    failed: frozenset[str],
    lock: object,
) -> None:
    told = {
        "id": ID,
        "stores": ",".join(stores),
        "os_glance_importing_to_stores": ",".join(importing),
        "os_glance_failed_import": ",".join(failed),
        "os_glance_import_task": str(lock) if lock else None,
    }
    image = wire.image(json.loads(json.dumps(told)))
    assert (image.stores, image.importing, image.failed) == (stores, importing, failed)
    assert image.lock == (str(lock) if lock else None)


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
_SPOILED = st.dictionaries(
    st.sampled_from([*_SHOWN, "properties", "images", "stores", "next", "message"]),
    _ANY_JSON | st.just(ID),
)


@given(
    body=_ANY_JSON | _SPOILED | _SPOILED.map(lambda told: {**_SHOWN, **told}),
    date=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_nothing_that_is_said_raises_anything_but_our_errors(
    body: object, date: float | None
) -> None:
    for read in (wire.image, wire.page):
        with suppress(CowpathError):
            read(body, date)
    for read_alone in (wire.stores, wire.complaint):
        with suppress(CowpathError):
            read_alone(body)
