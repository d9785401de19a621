"""OnBehalf keeps Catalog's promises, and copies only what the caller can see."""

from collections.abc import Iterator, Sequence

import pytest

from cowpath.catalog.on_behalf import OnBehalf
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
from cowpath.testing.glance_scripts import Rules, Trouble, Verb
from cowpath.testing.glance_simulator import GlanceSimulator
from tests.contracts.simulator_doors import SimulatorDoors

EDGE, EDGE2 = StoreName("edge1"), StoreName("edge2")


class TestOnBehalf(CatalogSuite):
    @pytest.fixture
    def glance(self) -> CatalogDoors:
        clock = FakeClock()
        doors = SimulatorDoors(GlanceSimulator(clock), clock)
        doors.catalog = OnBehalf(doors.catalog, doors.glance)
        doors.member = OnBehalf(doors.member, doors.glance.member("service"))
        return doors

    def test_one_call_is_one_request(self, glance: CatalogDoors) -> None:
        """But for a copy, which asks first whether the caller sees the image."""
        image = glance.upload("suite-economy")
        glance.catalog.get(image)
        glance.catalog.find(image)
        assert glance.requests_about(image) == 2
        glance.catalog.copy(image, [glance.default_store])
        assert glance.requests_about(image) == 4


class Counted:
    """A Catalog that notes what it is asked, and may be told what to answer."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.asked: list[str] = []
        self.refusal: CowpathError | None = None

    def get(self, image: ImageId) -> Image:
        self.asked.append("get")
        return self.catalog.get(image)

    def find(self, ref: str) -> Image:
        self.asked.append("find")
        return self.catalog.find(ref)

    def images(self) -> Iterator[Image]:
        self.asked.append("images")
        return self.catalog.images()

    def stores(self) -> tuple[StoreName, ...]:
        self.asked.append("stores")
        return self.catalog.stores()

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        self.asked.append("copy")
        if self.refusal:
            raise self.refusal
        return self.catalog.copy(image, stores)


class Silent(Counted):
    """A Catalog that does not answer a look."""

    def get(self, image: ImageId) -> Image:
        raise UnavailableError(f"no answer about {image}")


class Desk:
    """A member of a project, the service, and what each of them asked."""

    def __init__(self, *, service: str = "admin") -> None:
        self.glance = GlanceSimulator(FakeClock())
        self.own = Counted(self.glance.member("alice"))
        admin = service == "admin"
        self.service = Counted(self.glance if admin else self.glance.member(service))
        self.catalog = OnBehalf(self.own, self.service)

    def upload(self, *, owner: str, visibility: str = "private") -> ImageId:
        return self.glance.upload("x", owner=owner, visibility=visibility).id

    @property
    def asked(self) -> tuple[list[str], list[str]]:
        """What was asked with the caller's credentials, and with the service's."""
        return self.own.asked, self.service.asked


@pytest.mark.parametrize(
    ("owner", "visibility"), [("alice", "private"), ("bob", "public")]
)
def test_what_the_caller_sees_is_copied_by_the_service(
    owner: str, visibility: str
) -> None:
    desk = Desk()
    image = desk.upload(owner=owner, visibility=visibility)
    assert desk.catalog.copy(image, [EDGE, EDGE2]) is CopyAnswer.ACCEPTED
    assert desk.asked == (["get"], ["copy"])
    asked = [request for request in desk.glance.requests if request.verb is Verb.COPY]
    assert [request.stores for request in asked] == [(EDGE, EDGE2)]
    assert desk.catalog.copy(image, [EDGE]) is CopyAnswer.BUSY


def test_what_the_caller_cannot_see_the_service_is_never_asked_for() -> None:
    desk = Desk()
    image = desk.upload(owner="bob")
    assert desk.service.get(image).id == image
    desk.service.asked.clear()
    with pytest.raises(NotFoundError, match=image):
        desk.catalog.copy(image, [EDGE])
    assert desk.asked == (["get"], [])


def test_made_private_between_two_requests() -> None:
    desk = Desk()
    image = desk.upload(owner="bob", visibility="public")
    assert desk.catalog.copy(image, [EDGE]) is CopyAnswer.ACCEPTED
    desk.glance.change(image, visibility="private")
    with pytest.raises(NotFoundError):
        desk.catalog.copy(image, [EDGE2])
    assert desk.service.asked == ["copy"]


@pytest.mark.parametrize("kind", [ForbiddenError, CredentialsError, UnavailableError])
def test_a_caller_whom_glance_does_not_answer_copies_nothing(
    kind: type[CowpathError],
) -> None:
    desk = Desk()
    image = desk.upload(owner="alice")
    desk.glance.trouble(Trouble(kind, frozenset({Verb.GET})))
    with pytest.raises(kind):
        desk.catalog.copy(image, [EDGE])
    assert desk.asked == (["get"], [])


def test_everything_else_is_asked_with_the_callers_own_credentials() -> None:
    desk = Desk()
    image = desk.upload(owner="alice")
    hidden = desk.upload(owner="bob")
    assert desk.catalog.get(image).id == desk.catalog.find(image).id == image
    assert [found.id for found in desk.catalog.images()] == [image]
    assert desk.catalog.stores() == desk.glance.stores()
    with pytest.raises(NotFoundError):
        desk.catalog.find(hidden)
    assert desk.asked == (["get", "find", "images", "stores", "find"], [])


def test_a_service_that_does_not_see_the_image_is_named() -> None:
    desk = Desk(service="nova")
    desk.glance.rules = Rules(admins_only=False)
    image = desk.upload(owner="alice")
    words = rf"{image}, but the user of the service credentials in \[cowpath_copy\]"
    with pytest.raises(NotFoundError, match=words):
        desk.catalog.copy(image, [EDGE])
    assert desk.asked == (["get"], ["copy", "get"])


@pytest.mark.parametrize("silent", [False, True])
def test_an_unknown_store_keeps_its_own_words(*, silent: bool) -> None:
    desk = Desk()
    image = desk.upload(owner="alice")
    if silent:
        desk.service.refusal = NotFoundError("Glance has no store nosuch for it")
        desk.service.catalog = Silent(desk.glance)
    with pytest.raises(NotFoundError, match="no store nosuch"):
        desk.catalog.copy(image, [StoreName("nosuch")])
    assert desk.asked == (["get"], ["copy", "get"])


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (ForbiddenError("no"), r"copy_image forbids the copy of image \S+ to edge1 to"),
        (CredentialsError("no"), "does not accept the service credentials"),
        (QuotaError("a quota refuses it"), "with the service credentials .* a quota"),
        (ConfigError("no such plugin"), "cannot be used: no such plugin"),
    ],
)
def test_refusals_of_the_service_name_its_credentials(
    refusal: CowpathError, words: str
) -> None:
    desk = Desk()
    desk.service.refusal = refusal
    image = desk.upload(owner="alice")
    with pytest.raises(type(refusal), match=words) as caught:
        desk.catalog.copy(image, [EDGE])
    assert type(caught.value) is type(refusal)
    assert "[cowpath_copy]" in str(caught.value)
    assert caught.value.__cause__ is refusal


@pytest.mark.parametrize("kind", [UnavailableError, UnsuitableError, UsageError])
def test_other_words_of_glance_pass(kind: type[CowpathError]) -> None:
    desk = Desk()
    desk.service.refusal = kind("as it is")
    image = desk.upload(owner="alice")
    with pytest.raises(kind, match=r"^as it is$"):
        desk.catalog.copy(image, [EDGE])
    assert desk.asked == (["get"], ["copy"])
