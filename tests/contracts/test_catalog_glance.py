"""GlanceCatalog over a Glance that is simulated down to its JSON and its words."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.transport import Reply, Transport
from cowpath.core.errors import (
    ConfigError,
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
    UsageError,
)
from cowpath.core.model import CopyAnswer, Image, ImageId, StoreName
from cowpath.core.ports import Catalog
from cowpath.testing.catalog_doors import CatalogDoors
from cowpath.testing.catalog_suite import CatalogSuite
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_simulator import GlanceSimulator
from tests.contracts.simulator_doors import SimulatorDoors

IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
EDGE = StoreName("edge1")
SIMILAR = StoreName("edge10")
ENDPOINT = "http://glance.example:9292"
NOW = 1_795_000_000.0
"""What the clock of the simulated Glance's host shows, always."""

_ERRORS: tuple[tuple[type[CowpathError], int, str], ...] = (
    (QuotaError, 413, "Project p is over a limit for ['image_size_total']"),
    (ForbiddenError, 403, "You are not authorized to complete copy_image action."),
    (
        UnsuitableError,
        409,
        "Only images with status active can be targeted for copying",
    ),
)


class JsonGlance:
    """A Transport that answers for a simulated Glance in the real one's words."""

    endpoint = ENDPOINT

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        url = urlsplit(path)
        if url.path == "/v2/images":
            return self._page(url.query)
        if url.path == "/v2/info/stores":
            default, *others = self._catalog.stores()
            rows: list[object] = [{"id": store} for store in others]
            return Reply(200, {"stores": [*rows, {"id": default, "default": "true"}]})
        image = ImageId(unquote(url.path.split("/")[3]))
        try:
            if method == "GET":
                return Reply(200, _json(self._catalog.get(image)), NOW)
            return self._copy(image, json or {})
        except NotFoundError as error:
            if named := re.search(r"no store (\S+)", str(error)):
                return _error(409, f"Store for identifier {named[1]} not found")
            return _error(404, f"No image found with ID {image}")

    def _copy(self, image: ImageId, json: Mapping[str, object]) -> Reply:
        assert json["method"] == {"name": "copy-image"}
        assert json["all_stores_must_succeed"] is False
        stores = json["stores"]
        assert isinstance(stores, list)
        assert len({*stores}) == len(stores) > 0
        try:
            answer = self._catalog.copy(image, stores)
        except tuple(kind for kind, _, _ in _ERRORS) as error:
            found = (row for row in _ERRORS if isinstance(error, row[0]))
            _, status, words = next(found)
            return _error(status, words)
        match answer:
            case CopyAnswer.ACCEPTED:
                return Reply(202)
            case CopyAnswer.BUSY:
                return _error(409, "Image has active task")
            case CopyAnswer.PRESENT:
                return _error(400, f"Image is already present at store '{stores[0]}'")

    def _page(self, query: str) -> Reply:
        asked = parse_qs(query)
        rows = sorted(self._catalog.images(), key=lambda image: image.id)
        if "name" in asked:
            operator, colon, name = asked["name"][0].partition(":")
            if colon and operator != "eq":
                return _error(
                    400, f"Unable to filter by unknown operator '{operator}'."
                )
            # As MySQL compares: without case and trailing blanks.
            rows = [row for row in rows if _folded(row.name) == _folded(name)]
        limit = int(asked["limit"][0])
        marker = asked.get("marker", [""])[0]
        rows = [row for row in rows if row.id > marker]
        body: dict[str, object] = {"images": [_json(row) for row in rows[:limit]]}
        if len(rows) >= limit:
            rest = re.sub(r"&marker=[^&]*", "", query)
            body["next"] = f"/v2/images?{rest}&marker={rows[limit - 1].id}"
        return Reply(200, body, NOW)


class JsonDoors(SimulatorDoors):
    def __init__(self) -> None:
        clock = FakeClock()
        super().__init__(GlanceSimulator(clock), clock)
        self.catalog = GlanceCatalog(JsonGlance(self.glance), page=2)
        self.member = GlanceCatalog(JsonGlance(self.glance.member()), page=2)


class TestGlanceOverJson(CatalogSuite):
    @pytest.fixture
    def glance(self) -> CatalogDoors:
        return JsonDoors()


class Says:
    """A Transport that gives the same reply to every request."""

    endpoint = ENDPOINT

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[str] = []
        self.sent: list[Mapping[str, object]] = []

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        assert (json is None) == (method == "GET")
        self.asked.append(f"{method} {path}")
        if json is not None:
            self.sent.append(json)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.mark.parametrize(
    ("status", "told", "kind", "words"),
    [
        (401, "no", CredentialsError, "HTTP 401"),
        (403, "no", ForbiddenError, "copy_image.*policy.yaml"),
        (404, "No image found", NotFoundError, "gone"),
        (409, "Only images with status active can be", UnsuitableError, "active"),
        (409, "'container_format' needs to be set", UnsuitableError, "container_form"),
        (413, "over a limit", QuotaError, "quota"),
        (
            400,
            "Unknown import method name 'copy-image'.",
            UnsuitableError,
            "enabled_imp",
        ),
        (400, "Anything else", UsageError, "Anything else"),
        (429, "slow down", UnavailableError, "HTTP 429"),
        (500, "The server has either erred", UnavailableError, "HTTP 500"),
        (503, None, UnavailableError, "HTTP 503"),
        (404, None, UnavailableError, "is not Glance"),
        (409, None, UnavailableError, "is not Glance"),
        (200, None, UnavailableError, "is not Glance"),
        (302, None, UnavailableError, "is not Glance"),
    ],
)
def test_refusals_of_a_copy(
    status: int, told: str | None, kind: type[CowpathError], words: str
) -> None:
    transport = Says(_error(status, told) if told else Reply(status, "<html>"))
    with pytest.raises(kind, match=f"(?s){words}") as caught:
        GlanceCatalog(transport).copy(IMAGE, [EDGE])
    assert type(caught.value) is kind
    assert len(transport.asked) == 1
    if status not in {429, 500}:
        assert IMAGE in str(caught.value)


@pytest.mark.parametrize(
    ("status", "told", "answer"),
    [
        (202, "", CopyAnswer.ACCEPTED),
        (409, "Image has active task", CopyAnswer.BUSY),
        (
            409,
            (
                f"New operation on image '{IMAGE}' is not permitted as prior operation "
                f"is still in progress"
            ),
            CopyAnswer.BUSY,
        ),
        (400, "Image is already present at store 'edge1'", CopyAnswer.PRESENT),
    ],
)
def test_answers_to_a_copy(status: int, told: str, answer: CopyAnswer) -> None:
    transport = Says(_error(status, told) if told else Reply(status))
    assert GlanceCatalog(transport).copy(IMAGE, [EDGE]) is answer


def test_an_unknown_store_survives_a_failing_list_of_stores() -> None:
    refusal = _error(409, "Store for identifier edge1 not found")
    transport = Says(refusal, Reply(503))
    with pytest.raises(NotFoundError, match="could not be listed"):
        GlanceCatalog(transport).copy(IMAGE, [EDGE])
    assert len(transport.asked) == 2


def _get(catalog: Catalog) -> object:
    return catalog.get(IMAGE)


def _images(catalog: Catalog) -> object:
    return list(catalog.images())


def _stores(catalog: Catalog) -> object:
    return catalog.stores()


@pytest.mark.parametrize("read", [_get, _images, _stores])
@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (401, None, CredentialsError),
        (403, None, ForbiddenError),
        (404, None, UnavailableError),
        (400, "odd", UsageError),
        (300, None, UnavailableError),
        (200, None, UnavailableError),
        (204, None, UnavailableError),
        (500, "broken", UnavailableError),
        (503, None, UnavailableError),
    ],
)
def test_refusals_of_reading(
    read: Callable[[Catalog], object],
    status: int,
    told: str | None,
    kind: type[CowpathError],
) -> None:
    reply = _error(status, told) if told else Reply(status, "<html>")
    with pytest.raises(kind) as caught:
        read(GlanceCatalog(Says(reply)))
    assert type(caught.value) is kind


def test_a_glance_without_named_stores() -> None:
    transport = Says(_error(404, "Multi backend is not supported at this site."))
    with pytest.raises(ConfigError, match="enabled_backends"):
        GlanceCatalog(transport).stores()


def test_another_image_than_asked_for_is_not_glance() -> None:
    other = ImageId(IMAGE.replace("a", "b"))
    with pytest.raises(UnavailableError, match=IMAGE):
        GlanceCatalog(Says(Reply(200, {"id": other}))).get(IMAGE)


def test_an_id_in_capitals_is_the_same_id() -> None:
    """MySQL compares without regard to case; stores know Glance's spelling."""
    catalog = GlanceCatalog(Says(Reply(200, {"id": IMAGE})))
    assert catalog.get(ImageId(IMAGE.upper())).id == IMAGE
    assert catalog.find(IMAGE.upper()).id == IMAGE


def test_an_unknown_store_may_be_a_slip_or_the_sites_own() -> None:
    refusal = _error(409, "Store for identifier edge1 not found")
    transport = Says(refusal, Reply(200, {"stores": [{"id": "central"}]}))
    words = "no store edge1.*has central: check the spelling.*_glance_store_name"
    with pytest.raises(NotFoundError, match=words):
        GlanceCatalog(transport).copy(IMAGE, [EDGE])


def test_several_stores_are_named_in_one_request() -> None:
    transport = Says(Reply(202))
    answer = GlanceCatalog(transport).copy(IMAGE, [SIMILAR, EDGE, SIMILAR])
    assert answer is CopyAnswer.ACCEPTED
    assert transport.asked == [f"POST /v2/images/{IMAGE}/import"]
    (sent,) = transport.sent
    assert sent["stores"] == [SIMILAR, EDGE]
    assert sent["all_stores_must_succeed"] is False


def test_a_copy_to_no_store_is_no_request() -> None:
    transport = Says(Reply(202))
    with pytest.raises(UsageError, match=f"(?s)no store.*{IMAGE}.*--store"):
        GlanceCatalog(transport).copy(IMAGE, [])
    assert transport.asked == []


@pytest.mark.parametrize(
    ("status", "told", "words"),
    [
        (403, "no", f"the copy of image {IMAGE} to stores edge1, edge10"),
        (409, "Store for identifier edge10 not found", "no store edge10, so the copy"),
        (409, "Store for identifier x not found", "no store edge1 or edge10, so"),
        (409, "Unknown scheme 'x'", "no store edge1 or edge10, so the copy"),
        (409, "Only images with status active", "copy it to stores edge1, edge10"),
        (413, "over", "to stores edge1, edge10"),
        (500, "broken", "to stores edge1, edge10"),
    ],
)
def test_refusals_of_several_name_them_all(status: int, told: str, words: str) -> None:
    transport = Says(_error(status, told), Reply(503))
    with pytest.raises(CowpathError, match=re.escape(words)):
        GlanceCatalog(transport).copy(IMAGE, [EDGE, SIMILAR])


def test_a_policy_that_forbids_copying_names_the_way_around() -> None:
    with pytest.raises(ForbiddenError, match=r"\[cowpath_copy\]"):
        GlanceCatalog(Says(Reply(403))).copy(IMAGE, [EDGE])


def test_a_list_without_end_ends() -> None:
    page = {"images": [{"id": IMAGE}], "next": "/v2/images?marker=same"}
    transport = Says(Reply(200, page))
    assert len(list(GlanceCatalog(transport).images())) == 2
    assert transport.asked == [
        "GET /v2/images?limit=200",
        "GET /v2/images?marker=same",
    ]


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_LIKE_GLANCE = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just(IMAGE) | _ANY_JSON,
        "images": st.lists(st.just({"id": IMAGE}) | _ANY_JSON, max_size=2) | _ANY_JSON,
        "next": st.just("/v2/images?marker=x") | _ANY_JSON,
        "stores": st.lists(st.just({"id": "edge1"}) | _ANY_JSON, max_size=2),
        "message": st.sampled_from(["Image has active task", "x"]) | _ANY_JSON,
    },
)
_REPLIES = st.builds(
    Reply,
    st.sampled_from([200, 202, 302, 400, 401, 403, 404, 409, 413, 500])
    | st.integers(100, 599),
    _ANY_JSON | _LIKE_GLANCE,
)


@given(replies=st.lists(_REPLIES, min_size=1, max_size=3), ref=st.text())
def test_whatever_is_replied_only_our_errors_are_raised(
    replies: list[Reply], ref: str
) -> None:
    calls: tuple[Callable[[Catalog], object], ...] = (
        _get,
        _images,
        _stores,
        lambda catalog: catalog.find(ref),
        lambda catalog: catalog.find(IMAGE),
        lambda catalog: catalog.copy(IMAGE, [EDGE]),
    )
    for call in calls:
        with suppress(CowpathError):
            call(GlanceCatalog(Says(*replies)))


def test_the_fakes_are_transports() -> None:
    fakes: list[Transport] = [
        Says(Reply(200)),
        JsonGlance(GlanceSimulator(FakeClock())),
    ]
    assert {fake.endpoint for fake in fakes} == {ENDPOINT}


def _error(status: int, message: str) -> Reply:
    return Reply(status, {"message": f"{message}<br /><br />\n\n", "code": f"{status}"})


def _folded(name: str) -> str:
    return name.rstrip().casefold()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(image: Image) -> dict[str, object]:
    algorithm, _, value = (image.hash or ":").partition(":")
    told: dict[str, object] = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "disk_format": image.disk_format,
        "size": image.size,
        "min_disk": image.min_disk,
        "visibility": image.visibility,
        "created_at": image.created,
        "updated_at": _time(NOW - (image.idle or 0)),
        "os_hash_algo": algorithm or None,
        "os_hash_value": value or None,
    }
    if image.stores:
        told["stores"] = ",".join(sorted(image.stores))
    if image.lock:
        told["os_glance_import_task"] = image.lock
    told["os_glance_importing_to_stores"] = ",".join(sorted(image.importing))
    told["os_glance_failed_import"] = ",".join(sorted(image.failed))
    return told
