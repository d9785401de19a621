"""The lab's fault proxy before a small server that stands for Glance."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, ThreadingTCPServer
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from lab.fault_proxy import ProxyServer
from tests.lab.proxy import Proxy

IMAGE = f"/v2/images/{uuid4()}"
ADMIN = "admin:admin-project:admin"
MIB = 2**20


class SmallGlance(BaseHTTPRequestHandler):
    """Answers with what it was asked, numbered; a few paths misbehave."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "SmallServer"

    def do_GET(self) -> None:
        number = self.server.heard(self)
        if self.path == "/pieces":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(4):
                self.wfile.write(b"%x\r\n%b\r\n" % (MIB, bytes(MIB)))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/broken":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"ten bytes.")
            self.close_connection = True
        else:
            self._tell({"number": number, "token": self.headers.get("X-Auth-Token")})

    def do_DELETE(self) -> None:
        self.server.heard(self)
        self.send_response(204)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  # http.server's name

    def do_PUT(self) -> None:
        self.server.heard(self)
        if self.path == "/full":
            self._tell({"full": True}, 413)
            self.close_connection = True
            return
        if self.path == "/empty":
            # As Glance's answer to a request for a copy.
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while piece := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(piece))
                self.rfile.readline()
            self.rfile.readline()
        else:
            length = int(self.headers["Content-Length"])
            size = len(self.rfile.read(length))
            if size < length:
                self.server.cut_off.set()
        self._tell({"size": size}, 202)

    do_POST = do_PUT  # noqa: N815

    def _tell(self, document: object, status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Openstack-Request-Id", "req-1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class SmallServer(ThreadingTCPServer):
    """The server of it; knows what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SmallGlance)
        self.requests: list[str] = []
        self.cut_off = Event()

    def heard(self, request: SmallGlance) -> int:
        self.requests.append(f"{request.command} {request.path}")
        return len(self.requests)

    def handle_error(self, *_words: object) -> None:
        """Say nothing: clients break off here."""


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@dataclass
class Rig:
    """A proxy and what is behind it."""

    glance: SmallServer
    server: ProxyServer
    port_record: Path
    proxy: Proxy = field(init=False)

    def __post_init__(self) -> None:
        self.proxy = Proxy(self.server.url)

    def connect(self) -> "closing[http.client.HTTPConnection]":
        netloc = self.server.url.removeprefix("http://")
        return closing(http.client.HTTPConnection(netloc, timeout=20))

    def ask(
        self, path: str = IMAGE, method: str = "GET", body: Any = None, **more: str
    ) -> tuple[int, str]:
        """Return the status and the body of an answer."""
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        with self.connect() as connection:
            chunked = isinstance(body, list)
            connection.request(method, path, body, headers, encode_chunked=chunked)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def number(self, path: str = IMAGE, **more: str) -> int:
        """Return the number of the answer that was given to a GET."""
        status, text = self.ask(path, **more)
        assert status == 200
        return int(json.loads(text)["number"])

    def control(self, method: str, path: str, text: str) -> tuple[int, Any]:
        status, said = self.ask(path, method, text.encode())
        return status, json.loads(said)


@contextmanager
def standing(folder: Path) -> Iterator[Rig]:
    """Give a proxy and what is behind it, both serving."""
    record = folder / "port"
    with (
        SmallServer() as glance,
        ProxyServer(0, record) as server,
        serving(glance),
        serving(server),
    ):
        record.write_text(f"{glance.server_address[1]}\n")
        yield Rig(glance, server, record)
