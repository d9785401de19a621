"""A network service that has nothing: for servers without networks.

Nova asks for a server's ports when it shows or deletes it, whether it has any or not.
Run as a script: `neutron_stub.py PORT LOG`.
"""

import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_HOST = "127.0.0.1"
_VERSION = "v2.0"


def answer(path: str, url: str) -> dict[str, object]:
    """Return what a Neutron without any resource answers to a GET.

    Args:
        path: What is asked for.
        url: Our own root.
    """
    words = urlsplit(path).path.strip("/").split("/")
    if words == [""]:
        links = [{"rel": "self", "href": f"{url}/{_VERSION}/"}]
        return {"versions": [{"id": _VERSION, "status": "CURRENT", "links": links}]}
    if words == [_VERSION]:
        return {"resources": []}
    return {words[1].replace("-", "_"): []}


class Handler(BaseHTTPRequestHandler):
    """Answers reads; has no other methods."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        url = f"http://{self.headers['Host']}"
        body = json.dumps(answer(self.path, url)).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port: str, log: str) -> None:
    """Serve for ever.

    Args:
        port: Where to listen.
        log: Where requests are noted.
    """
    with Path(log).open("a", encoding="utf-8", buffering=1) as sys.stderr:
        ThreadingHTTPServer((_HOST, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
