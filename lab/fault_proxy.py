"""A proxy before Glance that does wrong what it is told to.

Run as a script, by its path, so that the lab finds it among the processes.
"""

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

from lab.fault_proxy_answers import Answer, as_html, as_json
from lab.fault_proxy_control import PREFIX, Control
from lab.fault_proxy_faults import METHODS, Action, Fault, SetFault
from lab.fault_proxy_glance import GlanceBehind, GlanceLostError, Request
from lab.fault_proxy_keystone import VERSION, Keystone
from lab.files import read
from lab.ports import HOST

_TOKEN = "x-auth-token"  # noqa: S105  # a header's name
_JSON = "application/json"
_PIECE_BYTES = 2**16
# On, for no time at all: closing sends a reset.
_LINGER = struct.pack("ii", 1, 0)
_BODILESS = frozenset({204, 304})


class ProxyServer(ThreadingTCPServer):
    """Listens; a thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    # Hundreds of threads of a test connect at once.
    request_queue_size = 512

    def __init__(self, port: int, glance_port_record: Path) -> None:
        """Listen.

        Args:
            port: Where, on the loopback address; 0 for any.
            glance_port_record: The file with Glance's port.
        """
        super().__init__((HOST, port), Handler)
        glance = GlanceBehind(glance_port_record)
        self.control = Control(glance, Keystone(self.url))

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{HOST}:{self.server_address[1]}"

    def shutdown_request(self, request: Any) -> None:
        """End a connection: with a reset and nothing before it, where it is wanted."""
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_LINGER))
        if linger == _LINGER:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Say what broke a connection, in one line: clients go away all the time."""
        print(f"{client_address[1]}: {sys.exception()!r}", flush=True)


class Handler(BaseHTTPRequestHandler):
    """One client's connection, request by request."""

    server: ProxyServer
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets: the second would wait 40 ms for the client.
    disable_nagle_algorithm = True

    _fault_name = "-"
    _unread = False

    def serve(self) -> None:
        """Answer one request, whatever its method."""
        self._fault_name = "-"
        self._unread = True
        path = urlsplit(self.path).path
        try:
            if path.startswith(PREFIX):
                self._send(self._of_ours(self.server.control.answer, path))
            else:
                self._pass_on(path)
        except GlanceLostError as error:
            # As if Glance itself had been asked: it answers nothing.
            self._fault_name = str(error)
            self._reset()
        # What is left of a request would be taken for the next one.
        self.close_connection = self.close_connection or self._unread

    # What there is to answer

    def _pass_on(self, path: str) -> None:
        control = self.server.control
        control.counts.add(self.command, path)
        chosen = control.faults.take(self.command, self.path)
        if chosen is None:
            with self._answer(path) as answer:
                self._send(answer)
        else:
            self._fault_name = chosen.fault.action
            chosen.cleared.wait(chosen.fault.delay_seconds)
            self._do_wrong(chosen, path)

    def _do_wrong(self, chosen: SetFault, path: str) -> None:
        match chosen.fault.action:
            case Action.RESET:
                self._reset()
            case Action.STATUS | Action.GARBAGE:
                self._read_all()
                self._send(_made_up(chosen.fault))
            case action:
                self._do_wrong_with(action, chosen, path)

    def _do_wrong_with(self, action: Action, chosen: SetFault, path: str) -> None:
        with self._answer(path) as answer:
            if action is Action.RESET_AFTER:
                answer.whole()
                self._reset()
            elif action is Action.TRUNCATE:
                self._send_half(answer.whole())
            elif action is Action.STALE and self.command == "GET":
                self._send(self._older(chosen, answer.whole()))
            else:
                self._send(answer)

    @contextmanager
    def _answer(self, path: str) -> Iterator[Answer]:
        """Give the right answer, and remember it where it is small enough."""
        control = self.server.control
        if path == VERSION or path.startswith(f"{VERSION}/"):
            yield self._of_ours(control.keystone.answer, path)
            return
        request = Request(self.command, self.path, self._headers(), self._body())
        with control.glance.ask(request) as answer:
            if self.command == "GET" and _kind(answer) == _JSON:
                kept = answer.whole()
                control.history.add(self._question(), kept)
                yield kept
            else:
                yield answer

    def _older(self, chosen: SetFault, answer: Answer) -> Answer:
        question = self._question()
        if chosen.fault.stale and _kind(answer) == _JSON:
            history = self.server.control.history
            return history.ago(question, chosen.fault.stale)
        return chosen.frozen.setdefault(question, answer)

    def _of_ours(self, answer: Any, path: str) -> Answer:
        made: Answer = answer(self.command, path, self._read_all())
        return made

    # The request

    def _question(self) -> tuple[str, str]:
        return self._token(self.headers.get(_TOKEN, "")), self.path

    def _token(self, token: str) -> str:
        return self.server.control.keystone.for_glance(token)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (name, self._token(value) if name.lower() == _TOKEN else value)
            for name, value in self.headers.items()
        )

    def _read_all(self) -> bytes:
        return b"".join(self._body())

    def _body(self) -> Iterator[bytes]:
        """Give a request's body in pieces.

        Raises:
            ConnectionAbortedError: The client went away. Glance has to hear of it,
                or it would wait for the rest.
        """
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
                yield from self._chunks()
            else:
                yield from self._bytes(int(self.headers.get("Content-Length", 0)))
        except (OSError, EOFError, ValueError) as error:
            raise ConnectionAbortedError(f"the client went away: {error}") from error
        self._unread = False

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self._bytes(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _bytes(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self.rfile.read(min(count, _PIECE_BYTES))
            if not piece:
                raise EOFError(f"{count} bytes before the end")
            count -= len(piece)
            yield piece

    # The answer

    def _send(self, answer: Answer) -> None:
        chunked = self._begin(answer)
        if self._bodiless(answer):
            return
        for piece in answer.body:
            self.wfile.write(_chunk(piece) if chunked else piece)
        if chunked:
            self.wfile.write(_chunk(b""))

    def _send_half(self, answer: Answer) -> None:
        content = b"".join(answer.body)
        if self._bodiless(answer) or not content:
            # Half of nothing is the whole: the client would miss nothing.
            self._reset()
            return
        self._begin(answer)
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def _begin(self, answer: Answer) -> bool:
        """Send the head of an answer; return whether its body goes in chunks."""
        self._log(str(answer.status))
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers:
            if answer.status not in _BODILESS or name.lower() != "content-length":
                self.send_header(name, value)
        told = answer.header("Content-Length") is not None
        chunked = not (told or self._bodiless(answer))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return chunked

    def _bodiless(self, answer: Answer) -> bool:
        """Tell whether a client takes what follows the head for the next answer."""
        return self.command == "HEAD" or answer.status in _BODILESS

    def _reset(self) -> None:
        self._log("reset")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.close_connection = True

    def _log(self, outcome: str) -> None:
        line = f"{self.command} {self.path} {outcome} {self._fault_name}\n"
        # In one piece: other threads write too.
        sys.stdout.write(line)
        sys.stdout.flush()

    def log_message(self, *_words: object) -> None:
        """Say nothing: one line for each request is enough."""


for _method in METHODS:
    # By these names http.server finds what to call.
    setattr(Handler, f"do_{_method}", Handler.serve)


def _kind(answer: Answer) -> str:
    return (answer.header("Content-Type") or "").partition(";")[0].strip()


def _made_up(fault: Fault) -> Answer:
    if fault.action is Action.GARBAGE:
        return as_html(200, "This is not what you asked for.")
    if fault.body == "json":
        return as_json({"code": fault.status, "message": fault.text}, fault.status)
    return as_html(fault.status, fault.text)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def main(argv: list[str]) -> None:
    """Listen until a signal ends us.

    Args:
        argv: The files with our port and with Glance's.
    """
    ours, glance_s = map(Path, argv)
    with ProxyServer(int(read(ours)), glance_s) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
