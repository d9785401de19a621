"""A Glance of a few canned answers, on a port of its own; keeps what it was asked."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "tok3n-of-the-tests"  # noqa: S105  # the canned Glance's own
STORES = ("central", "edge1", "edge2")

Reply = tuple[int, object]
Step = Callable[[], object]


class CannedGlance:
    """Shows `images`, and takes copies as `accepts` says.

    Attributes:
        images: What it has, by id, in Glance's own words.
        asked: Method and path of every request so far.
        wanted: The body of every request for a copy so far.
        fixed: Replies that go before all others, by method and path.
        looks: Done one by one, one before each reply to a GET of a single image.
        accepts: What it replies to a request for a copy.
        taken: Is told image and store of each copy that it accepts.
    """

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.wanted: list[Any] = []
        self.fixed: dict[str, Reply] = {}
        self.looks: deque[Step] = deque()
        self.accepts: Reply = (202, None)
        self.taken: Callable[[dict[str, Any], str], object] = lambda _image, _to: None
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._http.shutdown()
        self._http.server_close()

    def add(self, ident: str, **facts: Any) -> dict[str, Any]:
        """Publish a raw image of 1 MiB in store central, but for `facts`."""
        image = {
            "id": ident,
            "name": "debian",
            "status": "active",
            "disk_format": "raw",
            "size": 2**20,
            "min_disk": 0,
            "stores": "central",
            "visibility": "private",
        } | facts
        self.images[ident] = image
        return image

    @property
    def copies(self) -> list[str]:
        """Return the requests for copies so far."""
        return [line for line in self.asked if line.startswith("POST ")]

    def reply(self, method: str, target: str, token: str | None, body: Any) -> Reply:
        """Return what Glance would say."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.asked.append(f"{method} {path}")
        if token != TOKEN:
            return 401, "The token is not valid."
        if f"{method} {path}" in self.fixed:
            return self.fixed[f"{method} {path}"]
        match path.strip("/").split("/"):
            case ["v2", "images"]:
                return 200, {"images": self._named(query)}
            case ["v2", "info", "stores"]:
                return 200, {"stores": [{"id": store} for store in STORES]}
            case ["v2", "images", ident, *rest] if ident in self.images:
                return self._one(self.images[ident], rest, body)
            case _:
                return 404, {"message": f"No image found with {path}"}

    def _named(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        wanted = [name.removeprefix("eq:") for name in query.get("name", [])]
        every = self.images.values()
        return [each for each in every if not wanted or each["name"] in wanted]

    def _one(self, image: dict[str, Any], rest: list[str], body: Any) -> Reply:
        if rest == ["import"]:
            self.wanted.append(body)
            if self.accepts[0] == 202:
                for store in body["stores"]:
                    self.taken(image, store)
            return self.accepts
        if self.looks:
            self.looks.popleft()()
        return 200, image


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hung up: some tests kill theirs."""


def _handler(glance: CannedGlance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            told = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("X-Auth-Token")
            status, body = glance.reply(self.command, self.path, token, told)
            sent = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent.encode())))
            self.end_headers()
            self.wfile.write(sent.encode())

        do_GET = do_POST = _answer  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            """Keep stderr for the tests."""

    return Handler
