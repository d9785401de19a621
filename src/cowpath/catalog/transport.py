"""How a request reaches Glance: the seam between the API and who carries it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: The HTTP status.
        body: Parsed JSON; text where it was none; None where it was empty.
        date: When it was made, by the server's own clock, in seconds since 1970; None
            if it does not say. The only clock that Glance's times can be held against.
    """

    status: int
    body: object = None
    date: float | None = None


class Transport(Protocol):
    """Carries one HTTP request to Glance and brings its reply."""

    @property
    def endpoint(self) -> str:
        """Return where requests go, for messages; no secrets."""
        ...

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        """Send one request and return its reply, whatever its status.

        Args:
            method: `GET` or `POST`.
            path: Below the endpoint, beginning with `/v2/`; may hold a query.
            json: The body; None for none.

        Raises:
            CredentialsError: We could not log in.
            UnavailableError: There was no reply.
        """
        ...
