"""The Glance behind the fault proxy: its requests and answers, unchanged."""

import http.client
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.fault_proxy_answers import Answer, Headers
from lab.files import read
from lab.ports import HOST

_PIECE_BYTES = 2**16
# They are about one connection; each side of a proxy has its own.
_OF_A_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "trailer", "upgrade"}
)
_CHUNKED = ("transfer-encoding", "chunked")


class GlanceLostError(OSError):
    """Glance cannot be reached, or its answer broke off."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes to Glance.

    Attributes:
        method: Its method.
        path: Its path and query.
        headers: Its headers, with those of the connection.
        body: Its body in pieces, read once.
    """

    method: str
    path: str
    headers: Headers
    body: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class GlanceBehind:
    """The lab's Glance, wherever it listens now.

    Attributes:
        port_record: The file with its port: a Glance that is started again may have
            another one.
    """

    port_record: Path

    @contextmanager
    def ask(self, request: Request) -> Iterator[Answer]:
        """Pass a request on; give the answer while its body can be read.

        Raises:
            GlanceLostError: There is no Glance, or it went away.
        """
        port = read(self.port_record).strip()
        if not port:
            raise GlanceLostError(f"Glance is not started yet: no {self.port_record}")
        # No timeout: how long to wait is the client's own decision.
        with closing(http.client.HTTPConnection(HOST, int(port))) as connection:
            try:
                _send(connection, request)
                reply = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise GlanceLostError(f"Glance is lost: {error}") from error
            yield _answer(request.method, reply)


def _send(connection: http.client.HTTPConnection, request: Request) -> None:
    connection.putrequest(
        request.method, request.path, skip_host=True, skip_accept_encoding=True
    )
    for name, value in request.headers:
        if name.lower() not in _OF_A_CONNECTION:
            connection.putheader(name, value)
    chunked = _CHUNKED in {(n.lower(), v.lower()) for n, v in request.headers}
    # Glance may answer before it has read everything, and close: 413.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders(request.body, encode_chunked=chunked)


def _answer(method: str, reply: http.client.HTTPResponse) -> Answer:
    bodiless = method == "HEAD" or reply.length == 0
    headers = tuple(
        (name, value)
        for name, value in reply.getheaders()
        if name.lower() not in {*_OF_A_CONNECTION, _CHUNKED[0]}
    )
    body = () if bodiless else _pieces(reply, reply.length)
    return Answer(reply.status, reply.reason, headers, body)


def _pieces(reply: http.client.HTTPResponse, length: int | None) -> Iterator[bytes]:
    seen = 0
    try:
        while piece := reply.read1(_PIECE_BYTES):
            seen += len(piece)
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise GlanceLostError(f"Glance's answer broke off: {error}") from error
    # The client of HTTP in the standard library takes a lost end for the end.
    if length is not None and seen < length:
        raise GlanceLostError(f"Glance's answer broke off after {seen} bytes")
