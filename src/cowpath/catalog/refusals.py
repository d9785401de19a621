"""What Glance's refusals mean: its statuses and words as Cowpath's errors.

The words are those of Glance 33 (`glance/api/v2/images.py`), compared without regard
to case; a refusal in other words keeps the meaning of its status.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from cowpath.catalog import wire
from cowpath.catalog.transport import Reply
from cowpath.core.errors import (
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
    UsageError,
)
from cowpath.core.model import CopyAnswer, ImageId, StoreName

_PRESENT = re.compile(r"already present at store", re.IGNORECASE)
_NO_METHOD = re.compile(r"unknown import method|import method .*not", re.IGNORECASE)
_NO_STORE = re.compile(
    r"store for identifier (?P<store>\S+) not|store for identifier|unknown scheme",
    re.IGNORECASE,
)
_BUSY = re.compile(r"still in progress|active task", re.IGNORECASE)
_NOT_ACTIVE = re.compile(r"only images with status active", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The copy that was asked for, for messages."""

    endpoint: str
    image: ImageId
    stores: tuple[StoreName, ...]

    @property
    def where(self) -> str:
        """Return the stores in words."""
        plural = "s" if len(self.stores) > 1 else ""
        return f"store{plural} {', '.join(self.stores)}"

    @property
    def what(self) -> str:
        """Return the copy in words."""
        return f"the copy of image {self.image} to {self.where}"


def of_reading(reply: Reply, what: str, endpoint: str) -> CowpathError:
    """Return the error that a reply to a GET of `what` means."""
    told = wire.complaint(reply.body)
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            return _no_credentials(what, endpoint)
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(
                f"Glance does not let us read {what}{_words(told)}: ask for a role "
                f"that its policy accepts (reader, by default), or use other "
                f"credentials"
            )
        case HTTPStatus.NOT_FOUND if told is not None:
            return NotFoundError(
                f"Glance has no {what} (or it is not ours to see){_words(told)}: "
                f"`cowpath image list` shows the images there are"
            )
        case HTTPStatus.BAD_REQUEST if told is not None:
            return UsageError(f"Glance refuses to give its {what}{_words(told)}")
        case _:
            return _nonsense(reply, what, endpoint)


def of_copy(
    reply: Reply, asked: Asked, known_stores: Callable[[], str]
) -> CopyAnswer | CowpathError:
    """Return what a reply to a request for a copy means, other than acceptance.

    Args:
        reply: What Glance said.
        asked: What we asked for.
        known_stores: Names the stores there are; called only where that helps.
    """
    told = wire.complaint(reply.body)
    if told is None and reply.status not in _CLEAR_WITHOUT_WORDS:
        return _nonsense(reply, asked.what, asked.endpoint)
    match reply.status:
        case HTTPStatus.BAD_REQUEST:
            return _bad_request(told or "", asked)
        case HTTPStatus.CONFLICT:
            return _conflict(told or "", asked, known_stores)
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(
                f"image {asked.image} is gone, or not ours to see{_words(told)}: "
                f"`cowpath image list` shows the images there are"
            )
        case _:
            return _refused(reply, told, asked)


_CLEAR_WITHOUT_WORDS = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    }
)


def _refused(reply: Reply, told: str | None, asked: Asked) -> CowpathError:
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            return _no_credentials(asked.what, asked.endpoint)
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(
                f"Glance's policy copy_image forbids us {asked.what}{_words(told)}. By "
                f'default only administrators may copy: set "copy_image" in '
                f"Glance's policy.yaml to a rule that we fulfil (a role of its own, "
                f'or "" for everybody), or give this host service credentials in '
                f"[cowpath_copy], with which it copies"
            )
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return QuotaError(
                f"a quota of Glance refuses {asked.what}{_words(told)}: delete images "
                f"that are no longer needed, or have the project's image quotas raised"
            )
        case _:
            return _nonsense(reply, asked.what, asked.endpoint)


def _bad_request(told: str, asked: Asked) -> CopyAnswer | CowpathError:
    if _PRESENT.search(told):
        return CopyAnswer.PRESENT
    if _NO_METHOD.search(told):
        return UnsuitableError(
            f"Glance cannot make {asked.what}: its import method {wire.COPY_METHOD} is "
            f"switched off{_words(told)}: add {wire.COPY_METHOD} to "
            f"enabled_import_methods in glance-api.conf"
        )
    return UsageError(
        f"Glance takes the request for {asked.what} for nonsense{_words(told)}: check "
        f"the store name (images_rbd_glance_store_name) and Glance's version"
    )


def _conflict(
    told: str, asked: Asked, known_stores: Callable[[], str]
) -> CopyAnswer | CowpathError:
    if _BUSY.search(told):
        return CopyAnswer.BUSY
    if unknown := _NO_STORE.search(told):
        named = unknown["store"]
        which = named if named in asked.stores else " or ".join(asked.stores)
        return NotFoundError(
            f"Glance has no store {which}, so {asked.what} was not begun; it has "
            f"{known_stores()}: check the spelling; if this is the site's own store, "
            f"set images_rbd_glance_store_name to one of these"
        )
    if _NOT_ACTIVE.search(told):
        return UnsuitableError(
            f"image {asked.image} is not active, so Glance does not copy it to "
            f"{asked.where}{_words(told)}: upload its data, or have it reactivated "
            f"(openstack image set --activate {asked.image})"
        )
    return UnsuitableError(
        f"Glance refuses {asked.what}{_words(told)}: look at the image "
        f"(openstack image show {asked.image})"
    )


def _no_credentials(what: str, endpoint: str) -> CredentialsError:
    return CredentialsError(
        f"the image service at {endpoint} does not accept our credentials for {what} "
        f"(HTTP 401): the token may have expired; check OS_*, OS_CLOUD or [cowpath]"
    )


def _nonsense(reply: Reply, what: str, endpoint: str) -> UnavailableError:
    told = wire.complaint(reply.body)
    status = reply.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(
            f"Glance at {endpoint} failed when asked for {what} (HTTP {status})"
            f"{_words(told)}: try again; its log says why"
        )
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}:
        return UnavailableError(
            f"Glance at {endpoint} is too busy for {what} (HTTP {status}): try again "
            f"later"
        )
    return UnavailableError(
        f"{endpoint} is not Glance: asked for {what}, it answered HTTP {status}"
        f"{_words(told)}: check the image endpoint (image_endpoint_override, or the "
        f"service catalogue)"
    )


def _words(told: str | None) -> str:
    return f' ("{told[:300]}")' if told else ""
