"""Nova's own Glance client, with the user's token, as a transport of ours."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from glanceclient import exc as glance_errors
from keystoneauth1 import exceptions as auth_errors
from nova import exception
from nova.image import glance

from cowpath.catalog.transport import Reply
from cowpath.core.errors import UnavailableError

_IMAGE = re.compile(r"/v2/images/(?P<id>[^/?]+)(?P<copy>/import)?")
_STORES = "/v2/info/stores"

_STATUSES = (
    (exception.ImageNotFound, 404),
    (exception.ImageNotAuthorized, 403),
    (exception.ImageBadRequest, 400),
    (exception.ImageImportImpossible, 409),
)
"""What Nova makes of Glance's statuses, back again; its subclasses before others."""


def plain(told: Mapping[str, Any]) -> dict[str, object]:
    """Return an image as Glance says it, from what Nova's client makes of that.

    Nova builds of active images only, and says so where its client does not.
    """
    body = {key: _text(value) for key, value in told.items()}
    return {"status": "active", **body}


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


class NovaTransport:
    """Carries what following a copy takes. Implements `catalog.transport.Transport`."""

    def __init__(self, api: Any, context: Any) -> None:
        """Ask as the user of a request.

        Args:
            api: Nova's `nova.image.glance.API`.
            context: Nova's RequestContext.
        """
        self._api = api
        self._context = context

    @property
    def endpoint(self) -> str:
        """Return where requests go, for messages."""
        return "Nova's image endpoint"

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        """Send one request by Nova's client and return its reply."""
        if method == "GET" and path == _STORES:
            return self._reply(200, self._stores)
        match = _IMAGE.fullmatch(path)
        if match is None:
            return Reply(501, {"message": f"nova-compute does not ask for {path}"})
        image = match["id"]
        if method == "POST" and match["copy"] and json is not None:
            return self._reply(202, lambda: self._copy(image, json))
        return self._reply(200, lambda: self._image(image))

    def _image(self, image: str) -> dict[str, object]:
        told = self._api.get(self._context, image, include_locations=True)
        return plain({"id": image, **told})

    def _copy(self, image: str, asked: Mapping[str, Any]) -> None:
        for store in asked["stores"]:
            self._api.copy_image_to_store(self._context, image, store)

    def _stores(self) -> Mapping[str, object]:
        client = glance.GlanceClientWrapper()
        told: Mapping[str, object] = client.call(self._context, 2, "get_stores_info")
        return told

    def _reply(self, good: int, ask: Callable[[], object]) -> Reply:
        try:
            return Reply(good, ask())
        except Exception as error:
            reply = refusal(error)
            if reply is None:
                raise
            return reply


def refusal(error: Exception) -> Reply | None:
    """Return Glance's answer that an error of Nova's client stands for.

    Returns:
        None where it stands for none.

    Raises:
        UnavailableError: There was no answer.
    """
    # Nova translates these, and keeps what it translated as the context.
    translated = isinstance(error, exception.NovaException)
    for each in _chain(error) if translated else (error,):
        if isinstance(each, glance_errors.HTTPException):
            return Reply(int(each.code), {"message": str(each)})
        if isinstance(each, auth_errors.HttpError):
            return Reply(int(each.http_status), {"message": str(each)})
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return Reply(status, {"message": error.format_message()})
    if isinstance(error, (exception.GlanceConnectionFailed, *_NO_ANSWER)):
        raise UnavailableError(f"Glance did not answer: {error}") from error
    return None


_NO_ANSWER = (
    glance_errors.CommunicationError,
    auth_errors.ConnectionError,
    auth_errors.EndpointNotFound,
    auth_errors.DiscoveryFailure,
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came of, nearest first."""
    now: BaseException | None = error
    seen = set[int]()
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__
