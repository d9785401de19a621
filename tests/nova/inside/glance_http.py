"""Glance's HTTP as the real glanceclient meets it, in front of the simulator."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import glanceclient.exc
from glanceclient.v2 import images, schemas

from cowpath.core.errors import (
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnsuitableError,
)
from cowpath.core.model import CopyAnswer, Image, ImageId, StoreName
from cowpath.testing.glance_simulator import ADMIN, GlanceSimulator

_BASE = (
    "id", "name", "status", "visibility", "protected", "os_hidden", "checksum",
    "os_hash_algo", "os_hash_value", "owner", "size", "virtual_size",
    "container_format", "disk_format", "created_at", "updated_at", "tags",
    "direct_url", "min_ram", "min_disk", "self", "file", "stores", "schema",
    "locations",
)  # fmt: skip
"""The properties of Glance 33's image schema; any other is an extra one."""

_SCHEMA = {
    "name": "image",
    "properties": {
        # The two that a snapshot sets; warlock wants to know of a type.
        **{name: {"type": ["null", "string"]} for name in ("disk_format", "name")},
        **{name: {} for name in _BASE if name not in {"disk_format", "name"}},
        # Properties of an image that Glance knows from its own configuration.
        "kernel_id": {"type": ["null", "string"], "is_base": False},
    },
    "additionalProperties": {"type": "string"},
}

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What of a `requests.Response` glanceclient looks at."""

    status_code: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.text.encode()


@dataclass(slots=True)
class GlanceHttp:
    """One Glance for everybody, with its own ways to show what it knows.

    Attributes:
        show_locations: glance-api.conf's show_multiple_locations.
        direct_url: Its show_image_direct_url.
        foreign: URLs that people have PATCHed into images, before Glance's own.
        properties: What people have set on images.
        patches: Every PATCH so far.
        cut: Replies with these numbers of requests never come.
    """

    glance: GlanceSimulator
    show_locations: bool = True
    direct_url: bool = False
    foreign: dict[ImageId, list[str]] = field(default_factory=dict)
    properties: dict[ImageId, dict[str, str]] = field(default_factory=dict)
    patches: list[object] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda _method, _url: None

    def client(self, context: Any) -> Any:
        """Return glanceclient's client for the user of a request."""
        who = ADMIN if context.is_admin else str(context.project_id)
        http = _AsUser(self, who)
        return SimpleNamespace(images=images.Controller(http, schemas.Controller(http)))

    def answer(self, who: str, method: str, url: str, data: Any) -> object:
        """Return the JSON that answers a request.

        Raises:
            HTTPException: glanceclient's, for any refusal.
        """
        self.before(method, url)
        try:
            return self._route(who, method, url, data)
        except CowpathError as error:
            raise refuse(_status(error, method), _words(error)) from None

    def _route(self, who: str, method: str, url: str, data: Any) -> object:
        match url.strip("/").split("/"):
            case ["versions"]:
                return {"versions": []}
            case ["v2", "schemas", "image"]:
                return _SCHEMA
            case ["v2", "info", "stores"]:
                stores = self.glance.stores()
                return {"stores": [{"id": store} for store in stores]}
            case ["v2", "images", image, "import"]:
                return self._copy(who, ImageId(image), data)
            case ["v2", "images", image, "file"]:
                self.uploads.append(image)
            case ["v2", "images", image] if method == "GET":
                return self._described(self.glance.serve_get(who, ImageId(image)))
            case ["v2", "images", _] if method == "PATCH":
                self.patches.extend(json.loads(data))
            case _:
                raise AssertionError(f"nobody told Glance of {method} {url}")
        return {}

    def _copy(self, who: str, image: ImageId, data: Any) -> object:
        assert data["method"] == {"name": "copy-image"}
        assert data["all_stores_must_succeed"] is False
        stores = [StoreName(store) for store in data["stores"]]
        answer = self.glance.serve_copy(who, image, stores)
        if answer is CopyAnswer.BUSY:
            words = (
                f"New operation on image '{image}' is not permitted as prior operation "
                f"is still in progress"
            )
            raise refuse(409, words)
        if answer is CopyAnswer.PRESENT:
            raise refuse(400, f"Image is already present at store '{stores[0]}'")
        return {}

    def _described(self, image: Image) -> dict[str, object]:
        told: dict[str, object] = {
            "id": image.id,
            "name": image.name,
            "status": image.status,
            "visibility": image.visibility,
            "disk_format": image.disk_format if image.status != "queued" else None,
            "container_format": "bare",
            "size": image.size,
            "min_disk": image.min_disk,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": image.updated,
            "stores": ",".join(sorted(image.stores)),
            "os_glance_importing_to_stores": ",".join(sorted(image.importing)),
            "os_glance_failed_import": ",".join(sorted(image.failed)),
        }
        if image.lock:
            told["os_glance_import_task"] = image.lock
        return told | self.properties.get(image.id, {}) | self._located(image)

    def _located(self, image: Image) -> dict[str, object]:
        told: dict[str, object] = {}
        foreign = [{"url": url, "metadata": {}} for url in self._foreign(image)]
        own = [
            {"url": place.url, "metadata": {"store": place.store}}
            for place in image.locations
        ]
        if self.show_locations:
            told["locations"] = foreign + own
        if self.direct_url and (foreign or own):
            told["direct_url"] = (foreign + own)[0]["url"]
        return told

    def _foreign(self, image: Image) -> list[str]:
        return self.foreign.get(image.id, [])


@dataclass(frozen=True, slots=True)
class _AsUser:
    """glanceclient's HTTP client, with somebody's token."""

    http: GlanceHttp
    who: str

    def get(self, url: str, **kwargs: Any) -> tuple[Answer, object]:
        return self._request("GET", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> tuple[Answer, object]:
        return self._request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> tuple[Answer, object]:
        return self._request("PUT", url, **kwargs)

    def patch(self, url: str, **kwargs: Any) -> tuple[Answer, object]:
        return self._request("PATCH", url, **kwargs)

    def _request(self, method: str, url: str, **kwargs: Any) -> tuple[Answer, object]:
        kwargs.pop("headers", None)
        body = self.http.answer(self.who, method, url, kwargs.get("data"))
        return Answer(200), body


def refuse(status: int, words: str) -> Exception:
    """Return what glanceclient raises for a refusal, in HTML as Glance writes it."""
    title = f"{status} {_TITLES[status]}"
    page = (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n"
        f"  <h1>{title}</h1>\n  {words}<br /><br />\n\n\n </body>\n</html>"
    )
    answer = Answer(status, page, {"content-type": "text/html; charset=UTF-8"})
    error: Exception = glanceclient.exc.from_response(answer, answer.content)
    return error


def _status(error: CowpathError, method: str) -> int:
    match error:
        case CredentialsError():
            return 401
        case QuotaError():
            return 413
        case ForbiddenError():
            return 403
        case NotFoundError():
            return 409 if "has no store" in str(error) else 404
        case UnsuitableError() if method == "POST":
            return 400 if "copy-image" in str(error) else 409
        case _:
            return 500


def _words(error: CowpathError) -> str:
    """Return what Glance 33 says of it, where that matters."""
    match error:
        case NotFoundError() if "has no store" in str(error):
            return f"Store for identifier {str(error).split()[4]} not found"
        case ForbiddenError():
            return "You are not authorized to complete copy_image action."
        case UnsuitableError() if "copy-image" in str(error):
            return "Unknown import method name 'copy-image'."
        case UnsuitableError():
            return "Only images with status active can be targeted for copying"
        case _:
            return str(error)
