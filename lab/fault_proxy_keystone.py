"""A Keystone as small as a password login needs, for tokens that can expire."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from secrets import token_urlsafe
from threading import Lock

from lab.fault_proxy_answers import Answer, as_json
from lab.manifest import CLOUDS

VERSION = "/v3"
PASSWORD = "lab"  # noqa: S105  # everybody may know it: loopback, and no other use

_DOMAIN = {"id": "default", "name": "Default"}
_REGION = "RegionOne"
_VALID = timedelta(hours=1)
# Glance's authentication in the lab refuses it, as it would an expired one.
_EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class User:
    """Who can log in.

    Attributes:
        name: The user, who has a domain and a project of their own.
        project: The project.
        roles: Their roles in it.
        token: What the lab's Glance takes for a token of theirs.
    """

    name: str
    project: str
    roles: tuple[str, ...]
    token: str


def users() -> dict[str, User]:
    """Return those that clouds.yaml has, by name."""
    found = {}
    for token in CLOUDS.values():
        name, project, roles = token.split(":")
        found[name] = User(name, project, tuple(roles.split(",")), token)
    return found


class RefusedError(Exception):
    """A login is refused; the message says why."""


@dataclass(slots=True)
class Keystone:
    """Logs in and gives out tokens; for several threads.

    Attributes:
        url: The proxy's own root, which is the image endpoint in the catalogue.
    """

    url: str
    _tokens: dict[str, str] = field(default_factory=dict)
    _logins: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def logins(self) -> int:
        """How many logins succeeded."""
        return self._logins

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request to Keystone.

        Args:
            method: Its method.
            path: Its path, without a query.
            body: Its body.
        """
        match method, path.rstrip("/"):
            case "GET", "/v3":
                return as_json({"version": self._version()})
            case "POST", "/v3/auth/tokens":
                return self._log_in(body)
            case _:
                return _error(HTTPStatus.NOT_FOUND, f"the lab's Keystone has no {path}")

    def for_glance(self, token: str) -> str:
        """Return a token of ours as the lab's Glance takes it, others unchanged."""
        with self._lock:
            return self._tokens.get(token, token)

    def expire(self) -> int:
        """Have all tokens expire that were given out; return how many could be used."""
        with self._lock:
            usable = sum(theirs != _EXPIRED for theirs in self._tokens.values())
            self._tokens = dict.fromkeys(self._tokens, _EXPIRED)
            return usable

    def _version(self) -> dict[str, object]:
        link = {"rel": "self", "href": f"{self.url}{VERSION}/"}
        return {"id": "v3.14", "status": "stable", "links": [link]}

    def _log_in(self, body: bytes) -> Answer:
        try:
            user = _user(body)
        except RefusedError as error:
            return _error(HTTPStatus.UNAUTHORIZED, str(error))
        token = token_urlsafe()
        with self._lock:
            self._tokens[token] = user.token
            self._logins += 1
        given = {"token": self._describe(user)}
        return as_json(given, HTTPStatus.CREATED, ("X-Subject-Token", token))

    def _describe(self, user: User) -> dict[str, object]:
        now = datetime.now(UTC)
        return {
            "methods": ["password"],
            "user": {"id": user.name, "name": user.name, "domain": _DOMAIN},
            "project": {"id": user.project, "name": user.project, "domain": _DOMAIN},
            "roles": [{"id": role, "name": role} for role in user.roles],
            "issued_at": _written(now),
            "expires_at": _written(now + _VALID),
            "catalog": [self._image_service()],
        }

    def _image_service(self) -> dict[str, object]:
        endpoints = [
            {
                "id": f"image-{interface}",
                "interface": interface,
                "region": _REGION,
                "region_id": _REGION,
                "url": self.url,
            }
            for interface in ("public", "internal", "admin")
        ]
        service = {"id": "image", "type": "image", "name": "glance"}
        return {**service, "endpoints": endpoints}


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _error(status: HTTPStatus, message: str) -> Answer:
    facts = {"code": int(status), "message": message, "title": status.phrase}
    return as_json({"error": facts}, status)


def _user(body: bytes) -> User:
    asked = _object(body).get("auth")
    told = _at(asked, "identity", "password", "user")
    name = _at(told, "name") or _at(told, "id")
    user = users().get(str(name))
    if user is None or _at(told, "password") != PASSWORD:
        raise RefusedError(
            f"no user {name} with that password: {', '.join(users())} log in by "
            f"password, all with {PASSWORD!r}"
        )
    project = _at(asked, "scope", "project")
    wanted = _at(project, "name") or _at(project, "id")
    # Without a scope Keystone takes the user's default project too.
    if wanted not in {None, user.project}:
        raise RefusedError(f"{user.name} has no project {wanted} but {user.project}")
    return user


def _object(body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise RefusedError(f"the request is no JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _at(document: object, *keys: str) -> object:
    """Return what lies deep in a document, or None where it does not go there."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document
