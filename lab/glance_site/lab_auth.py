"""Who is asking, without Keystone: the token says it itself.

`X-Auth-Token: user:project:role,role`. Anything else is refused as an invalid token
would be; the token `expired` is there to be refused.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_WORDS_IN_A_TOKEN = 3

# What Keystone's own middleware would set: nobody may bring it along.
_IDENTITY = (
    "HTTP_X_IDENTITY_STATUS",
    "HTTP_X_USER_ID",
    "HTTP_X_PROJECT_ID",
    "HTTP_X_TENANT_ID",
    "HTTP_X_ROLES",
    "HTTP_X_SERVICE_ROLES",
    "HTTP_X_SERVICE_CATALOG",
)


def identity(token: str) -> dict[str, str] | None:
    """Return what Keystone's middleware would say of a token, or None."""
    words = token.split(":")
    if len(words) != _WORDS_IN_A_TOKEN or not all(words):
        return None
    user, project, roles = words
    return {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_USER_ID": user,
        "HTTP_X_PROJECT_ID": project,
        "HTTP_X_ROLES": roles,
    }


class TokenAuth:
    """WSGI middleware that believes what a token says."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Pass a request on with its identity, or refuse its token."""
        for name in _IDENTITY:
            environ.pop(name, None)
        token = environ.get("HTTP_X_AUTH_TOKEN")
        if token is not None:
            known = identity(token)
            if known is None:
                start_response("401 Unauthorized", [("Content-Type", "text/plain")])
                return [b"The token is not valid.\n"]
            environ.update(known)
        return self._application(environ, start_response)


def filter_factory(
    _global_conf: Mapping[str, str], **_local_conf: str
) -> Callable[[Application], TokenAuth]:
    """Make the middleware, as Paste asks for it."""
    importlib.import_module("lab_sqlite").take_the_write_lock_first()
    return TokenAuth
