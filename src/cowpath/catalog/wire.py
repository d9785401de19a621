"""Glance's JSON, and nothing else: the only place that spells its properties.

What Glance says is outside input. Every function here takes any parsed JSON at all
and raises nothing but CowpathError.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cowpath.core.errors import UnavailableError
from cowpath.core.model import (
    Bytes,
    Image,
    ImageId,
    Location,
    Seconds,
    StoreName,
    is_image_id,
)

COPY_METHOD = "copy-image"
"""Glance's name of the import method that copies between stores."""

_LOCK = "os_glance_import_task"
_IMPORTING = "os_glance_importing_to_stores"
_FAILED = "os_glance_failed_import"

_TAG = re.compile(r"<br */?>")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list of images.

    Attributes:
        images: In Glance's order.
        next: The query of the next page; None on the last one.
    """

    images: tuple[Image, ...]
    next: str | None


def image(body: object, date: float | None = None) -> Image:
    """Return the image that `body` describes.

    Args:
        body: What Glance said.
        date: When it said so, by its own clock.

    Raises:
        UnavailableError: It is not an image as Glance describes one.
    """
    told = _flat(_mapping(body, "an image"))
    ident = told.get("id")
    if not isinstance(ident, str) or not is_image_id(ident):
        raise UnavailableError(
            f"this is not Glance: an image has {_short(ident)} for an id: check the "
            f"image endpoint"
        )
    return Image(
        id=ImageId(ident),
        name=_text(told.get("name")) or "",
        status=_text(told.get("status")) or "unknown",
        disk_format=_text(told.get("disk_format")),
        size=_size(told.get("size")),
        min_disk=_size(told.get("min_disk")) or 0,
        stores=_stores(told.get("stores")),
        importing=_stores(told.get(_IMPORTING)),
        failed=_stores(told.get(_FAILED)),
        lock=_text(told.get(_LOCK)),
        locations=tuple(_locations(told)),
        hash=_hash(told),
        visibility=_text(told.get("visibility")) or "private",
        created=_text(told.get("created_at")) or "",
        updated=_text(told.get("updated_at")) or "",
        idle=_idle(told.get("updated_at"), date),
    )


def page(body: object, date: float | None = None) -> Page:
    """Return the page of images that `body` is.

    Args:
        body: What Glance said.
        date: When it said so, by its own clock.

    Raises:
        UnavailableError: It is not a list of images as Glance gives one.
    """
    told = _mapping(body, "a list of images")
    rows = told.get("images")
    if not isinstance(rows, list):
        raise UnavailableError(
            "this is not Glance: a list of images has no images: check the image "
            "endpoint"
        )
    return Page(
        tuple(image(row, date) for row in rows),
        _next_query(told.get("next")),
    )


def stores(body: object) -> tuple[StoreName, ...]:
    """Return the store ids in an answer of `/v2/info/stores`, its default first.

    Raises:
        UnavailableError: It is not such an answer.
    """
    rows = _mapping(body, "a list of stores").get("stores")
    if not isinstance(rows, list):
        raise UnavailableError(
            "this is not Glance: a list of stores has no stores: check the image "
            "endpoint"
        )
    told = [row for row in rows if isinstance(row, dict) and _text(row.get("id"))]
    # Glance writes "true", a string; the default is listed where it was configured.
    told.sort(key=lambda row: str(row.get("default")).lower() != "true")
    return tuple(StoreName(str(row["id"])) for row in told)


def copy_request(stores: Sequence[StoreName]) -> dict[str, object]:
    """Return the body that asks for copies in `stores`, each named once.

    With `all_stores_must_succeed`, Glance's default, one failure takes the image out
    of the other stores again and leaves it whole in the staging space.
    """
    return {
        "method": {"name": COPY_METHOD},
        "stores": list(stores),
        "all_stores_must_succeed": False,
    }


def complaint(body: object) -> str | None:
    """Return Glance's own words of an error; None if the body is none of Glance's."""
    if not isinstance(body, dict):
        return None
    message = body.get("message")
    if not isinstance(message, str):
        return None
    # Glance's web library writes line breaks as HTML, even into JSON.
    return " ".join(_TAG.sub(" ", message).split())


def _flat(told: Mapping[str, object]) -> Mapping[str, object]:
    # Clients such as Nova's put what is not in Glance's schema under "properties".
    inner = told.get("properties")
    return {**inner, **told} if isinstance(inner, dict) else told


def _mapping(body: object, what: str) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise UnavailableError(
            f"this is not Glance: asked for {what} and got {_short(body)}: check the "
            f"image endpoint"
        )
    return body


def _short(told: object) -> str:
    return ascii(told)[:80]


def _text(told: object) -> str | None:
    return told if isinstance(told, str) and told else None


def _size(told: object) -> Bytes | None:
    if isinstance(told, bool) or not isinstance(told, int) or told < 0:
        return None
    return Bytes(told)


def _idle(updated: object, date: float | None) -> Seconds | None:
    # Below zero where one Glance wrote the time and another one, whose clock is
    # behind, answers.
    if date is None or not isinstance(updated, str):
        return None
    try:
        when = datetime.fromisoformat(updated)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, date - when.timestamp())
    except (ValueError, OverflowError):
        return None


def _stores(told: object) -> frozenset[StoreName]:
    # A string split at commas: `dcn1` is not `dcn10`. A list from other clients.
    parts = told.split(",") if isinstance(told, str) else told
    if not isinstance(parts, list):
        return frozenset()
    names = (part.strip() for part in parts if isinstance(part, str))
    return frozenset(StoreName(name) for name in names if name)


def _locations(told: Mapping[str, object]) -> Iterator[Location]:
    rows = told.get("locations")
    found = False
    for row in rows if isinstance(rows, list) else ():
        url = _text(row.get("url")) if isinstance(row, dict) else None
        if url:
            found = True
            yield Location(url, _store_of(row.get("metadata")))
    direct = _text(told.get("direct_url"))
    if direct and not found:
        yield Location(direct)


def _store_of(metadata: object) -> StoreName | None:
    # Missing where somebody registered a location that Glance has no store for.
    name = _text(metadata.get("store")) if isinstance(metadata, dict) else None
    return StoreName(name) if name else None


def _hash(told: Mapping[str, object]) -> str | None:
    algorithm, value = _text(told.get("os_hash_algo")), _text(told.get("os_hash_value"))
    return f"{algorithm}:{value}" if algorithm and value else None


def _next_query(link: object) -> str | None:
    # Only the query is taken: whatever host or path a link names, the next request
    # goes where the first one went.
    if not isinstance(link, str):
        return None
    try:
        return urlsplit(link).query or None
    except ValueError:
        return None
