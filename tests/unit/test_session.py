"""What goes over the wire, counted at a small HTTP server, and what may go wrong."""

import json
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from keystoneauth1 import loading

from cowpath.catalog.config import GlanceConfig
from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.session import (
    Timeouts,
    auth_option_names,
    auth_secret_names,
    connect,
)
from cowpath.core.errors import (
    ConfigError,
    CopyError,
    CowpathError,
    CredentialsError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import CopyAnswer, ImageId, StoreName

IMAGE = ImageId("6f2e1c0a-0000-4000-8000-00000000000a")
STORE = StoreName("edge1")
PASSWORD = "correct-horse"  # noqa: S105  # the small Keystone's own


class Server:
    """Glance and Keystone, as small as they get; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.date: str | None = "Sun, 22 Nov 2026 18:42:00 GMT"
        self.answers: list[tuple[int, object]] = []
        self.catalogue_path = "/image/v2/"
        self.tokens = 0
        self.hang: threading.Event | None = None
        self._http = _QuietServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def lines(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]

    def answer(
        self, method: str, path: str, body: Any
    ) -> tuple[int, object, dict[str, str]]:
        if path == "/v3/auth/tokens":
            return self._log_in(body)
        if self.hang:
            self.hang.wait(10)
        if self.answers:
            return (*self.answers.pop(0), {})
        if method == "POST":
            return 202, None, {}
        return 200, {"id": IMAGE, "images": [], "stores": [{"id": "central"}]}, {}

    def _log_in(self, body: Any) -> tuple[int, object, dict[str, str]]:
        given = body["auth"]["identity"]["password"]["user"]["password"]
        if given != PASSWORD:
            return 401, {"error": {"message": "no", "code": 401, "title": "no"}}, {}
        self.tokens += 1
        endpoint = {
            "interface": "internal",
            "region": "edge",
            "region_id": "edge",
            "url": self.url + self.catalogue_path,
        }
        token = {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
            "catalog": [{"type": "image", "name": "glance", "endpoints": [endpoint]}],
        }
        return 201, {"token": token}, {"X-Subject-Token": f"token-{self.tokens}"}


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_words: object) -> None:
        """Say nothing of clients that went away; some tests make them."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *_words: object) -> None:
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            server.asked.append((self.command, self.path, dict(self.headers)))
            status, told, headers = server.answer(self.command, self.path, body)
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            data = b"" if told is None else data
            self.send_response_only(status)
            if server.date is not None:
                self.send_header("Date", server.date)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the machine's own OpenStack configuration and proxies out."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def _token_config(server: Server, path: str = "") -> GlanceConfig:
    return GlanceConfig(
        auth_type="admin_token",
        auth={"endpoint": server.url + path, "token": "a-token"},
    )


def _password_config(server: Server, **facts: str) -> GlanceConfig:
    auth = {
        "auth_url": f"{server.url}/v3",
        "username": "nova",
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    given = {"region": "edge", "interface": "internal", **facts}
    return GlanceConfig(
        auth_type="v3password",
        auth=auth,
        region=given["region"],
        interface=given["interface"],
    )


def _clouds_yaml(server: Server, path: str) -> list[str]:
    # Not clouds.json: openstacksdk looks for that where it was first imported.
    file = Path("other-clouds.json")
    cloud = {
        "auth_type": "admin_token",
        "auth": {"endpoint": server.url, "token": "a-token"},
        "image_endpoint_override": server.url + path,
    }
    file.write_text(json.dumps({"clouds": {"here": cloud}}), encoding="utf-8")
    return [str(file.absolute())]


def test_nothing_is_asked_before_the_first_request(server: Server) -> None:
    connect(_password_config(server))
    connect(GlanceConfig("here"), config_files=_clouds_yaml(server, ""))
    assert server.asked == []


def test_one_call_is_one_request(server: Server) -> None:
    config_files = _clouds_yaml(server, "")
    catalog = GlanceCatalog(connect(GlanceConfig("here"), config_files=config_files))
    catalog.get(IMAGE)
    catalog.find(IMAGE)
    with pytest.raises(NotFoundError):
        catalog.find("debian 12")
    assert list(catalog.images()) == []
    assert catalog.stores() == ("central",)
    assert catalog.copy(IMAGE, [STORE]) is CopyAnswer.ACCEPTED
    assert server.lines == [
        f"GET /v2/images/{IMAGE}",
        f"GET /v2/images/{IMAGE}",
        "GET /v2/images?name=eq%3Adebian+12&limit=200",
        "GET /v2/images?limit=200",
        "GET /v2/info/stores",
        f"POST /v2/images/{IMAGE}/import",
    ]
    _, _, headers = server.asked[0]
    assert headers["User-Agent"].startswith("cowpath/")
    assert headers["Accept"] == "application/json"
    assert headers["X-Auth-Token"] == "a-token"


@pytest.mark.parametrize("path", ["", "/", "/v2", "/v2/", "/v2.1", "/v2.17//"])
def test_a_version_in_the_endpoint_is_no_matter(server: Server, path: str) -> None:
    files = _clouds_yaml(server, f"/image{path}")
    transport = connect(GlanceConfig("here"), config_files=files)
    transport.request("GET", "/v2/info/stores")
    connect(_token_config(server, path)).request("GET", "/v2/info/stores")
    assert server.lines == ["GET /image/v2/info/stores", "GET /v2/info/stores"]
    assert transport.endpoint == f"{server.url}/image"


def test_the_catalogue_is_asked_once_with_the_first_request(server: Server) -> None:
    transport = connect(_password_config(server))
    for _ in range(2):
        transport.request("GET", "/v2/info/stores")
    assert server.lines == [
        "POST /v3/auth/tokens",
        *["GET /image/v2/info/stores"] * 2,
    ]


def test_an_expired_token_is_renewed(server: Server) -> None:
    transport = connect(_password_config(server))
    transport.request("GET", "/v2/info/stores")
    server.answers.append((401, {"message": "expired"}))
    assert transport.request("GET", "/v2/info/stores").status == 200
    assert server.tokens == 2


@pytest.mark.parametrize(
    ("date", "meant"),
    [
        ("Sun, 22 Nov 2026 18:42:00 GMT", 1_795_372_920.0),
        ("Sun, 22 Nov 2026 19:42:00 +0100", 1_795_372_920.0),
        ("Sun, 22 Nov 2026 18:42:00 -0000", 1_795_372_920.0),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("Sun, 99 Nov 2026 18:42:00 GMT", None),
        ("Sun, 22 Nov 99999 18:42:00 GMT", None),
    ],
)
def test_a_reply_tells_its_servers_time(
    server: Server, date: str | None, meant: float | None
) -> None:
    server.date = date
    transport = connect(_token_config(server))
    assert transport.request("GET", "/v2/info/stores").date == meant


def test_an_image_s_rest_is_told_by_the_server_s_clock(server: Server) -> None:
    image = {"id": IMAGE, "updated_at": "2026-11-22T18:41:17Z"}
    server.answers += [(200, image), (200, {"images": [image]})]
    catalog = GlanceCatalog(connect(_token_config(server)))
    assert catalog.get(IMAGE).idle == 43.0
    assert [found.idle for found in catalog.images()] == [43.0]


def test_messages_name_the_group_that_credentials_stand_in(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"set \[cowpath_copy\] auth_type"):
        connect(GlanceConfig(auth_type="nosuch", group="cowpath_copy"))
    refused = GlanceConfig(
        auth_type="v3password",
        auth={**_password_config(server).auth, "password": "wrong"},
        group="cowpath_copy",
    )
    with pytest.raises(CredentialsError, match=r"or \[cowpath_copy\]"):
        connect(refused).request("GET", "/v2/info/stores")


def test_refused_logins_keep_the_password_secret(server: Server) -> None:
    config = _password_config(server)
    config = GlanceConfig(
        auth_type=config.auth_type, auth={**config.auth, "password": "wrong-horse"}
    )
    with pytest.raises(CredentialsError) as caught:
        connect(config).request("GET", "/v2/info/stores")
    assert "wrong-horse" not in str(caught.value)
    assert "wrong-horse" not in repr(config)


def test_an_endpoint_that_the_catalogue_lacks(server: Server) -> None:
    transport = connect(_password_config(server, region="nowhere"))
    with pytest.raises(ConfigError, match="image_endpoint_override"):
        transport.request("GET", "/v2/info/stores")


def test_a_silent_server_is_unavailable() -> None:
    server = Server()
    server.close()
    catalog = GlanceCatalog(connect(_token_config(server)))
    with pytest.raises(UnavailableError, match="no answer"):
        catalog.get(IMAGE)
    with pytest.raises(UnavailableError, match="no answer"):
        catalog.copy(IMAGE, [STORE])
    with pytest.raises(UnavailableError, match=r"Keystone was not found|no answer"):
        connect(_password_config(server)).request("GET", "/v2/info/stores")


def test_a_server_that_hangs_is_unavailable(server: Server) -> None:
    server.hang = threading.Event()
    transport = connect(_token_config(server), timeouts=Timeouts(1, 0.05))
    with pytest.raises(UnavailableError, match="timed out"):
        transport.request("POST", "/v2/x", {})
    server.hang.set()
    assert server.lines == ["POST /v2/x"]


def test_redirects_are_not_followed(server: Server) -> None:
    server.answers.append((302, b""))
    with pytest.raises(UnavailableError, match="is not Glance"):
        GlanceCatalog(connect(_token_config(server))).get(IMAGE)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"\xff\xfe", b"[" * 100_000, b"{}"]
)
def test_what_is_not_glance_is_unavailable(server: Server, body: bytes) -> None:
    server.answers.append((200, body))
    with pytest.raises(UnavailableError, match="not Glance"):
        GlanceCatalog(connect(_token_config(server))).get(IMAGE)


def test_it_is_safe_from_several_threads(server: Server) -> None:
    transport = connect(_password_config(server))
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: transport.request("GET", "/v2/info/stores"), range(40))
        )
    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize("url", ["glance:9292", "ftp://x", "http://", "http://[bad"])
def test_an_endpoint_that_is_no_url(url: str) -> None:
    config = GlanceConfig(auth_type="none", endpoint=url)
    with pytest.raises(ConfigError, match="no image endpoint"):
        connect(config)


def test_a_user_in_the_url_is_not_shown() -> None:
    config = GlanceConfig(auth_type="none", endpoint="http://me:hunter2@127.0.0.1:1")
    transport = connect(config)
    with pytest.raises(UnavailableError) as caught:
        transport.request("POST", "/v2/x")
    assert "hunter2" not in str(caught.value) + transport.endpoint


@pytest.mark.parametrize("token", ["tok-sesame\n", " tok-sesame", "tok-sésame€"])
def test_a_token_that_cannot_be_sent_is_not_shown(server: Server, token: str) -> None:
    config = GlanceConfig(
        auth_type="admin_token", auth={"endpoint": server.url, "token": token}
    )
    with pytest.raises(ConfigError, match="token cannot be sent") as caught:
        connect(config).request("GET", "/v2/info/stores")
    assert "same" not in "".join(traceback.format_exception(caught.value))
    assert server.asked == []


def test_no_credentials_at_all() -> None:
    with pytest.raises(ConfigError, match="OS_CLOUD"):
        connect(GlanceConfig())


def test_an_unknown_cloud() -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        connect(GlanceConfig("nosuch"))


def test_an_incomplete_plugin() -> None:
    with pytest.raises(ConfigError, match="auth_url"):
        connect(GlanceConfig(auth_type="v3password"))


def test_an_unknown_plugin() -> None:
    with pytest.raises(ConfigError, match="v3password"):
        connect(GlanceConfig(auth_type="nosuch"))
    with pytest.raises(ConfigError, match=r"nosuch: set \[cowpath_copy\] auth_type"):
        auth_option_names("nosuch", "cowpath_copy")


def test_the_options_of_a_plugin() -> None:
    names = auth_option_names("v3password", "cowpath")
    assert {"auth_url", "username", "user_name", "password", "cafile"} <= names


def test_the_secrets_of_a_plugin_are_those_that_it_calls_so() -> None:
    for kind, plugin in loading.get_available_plugin_loaders().items():
        told = {option.dest for option in plugin.get_options() if option.secret}
        assert told <= auth_secret_names(kind, "cowpath"), kind
    secrets = auth_secret_names("v3oidcauthcode", "cowpath")
    assert {"code", "authorization_code", "client_secret"} <= secrets
    assert secrets <= auth_option_names("v3oidcauthcode", "cowpath")
    assert "auth_url" not in secrets


def test_a_stopped_glance_holds_a_look_for_a_minute_at_most(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GET whose connection stands and stays silent is tried twice."""
    waited: list[float] = []

    def send(
        _self: requests.Session, _request: requests.PreparedRequest, **how: Any
    ) -> requests.Response:
        waited.append(sum(how["timeout"]))
        raise requests.exceptions.ReadTimeout

    monkeypatch.setattr(requests.Session, "send", send)
    with pytest.raises(UnavailableError):
        connect(_token_config(server)).request("GET", "/v2/info/stores")
    assert len(waited) == 2
    assert sum(waited) <= 70


def test_openstacksdk_is_asked_for_only_where_needed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "openstack"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openstack", None)
    with pytest.raises(ConfigError, match=r"pip install 'cowpath\[cli\]'"):
        connect(GlanceConfig("here"))
    connect(_token_config(server)).request("GET", "/v2/info/stores")


def test_errors_keep_their_cause() -> None:
    with pytest.raises(CowpathError) as caught:
        connect(GlanceConfig("nosuch"))
    assert caught.value.__cause__
    assert not isinstance(caught.value, CopyError)
