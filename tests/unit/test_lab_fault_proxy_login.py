import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from keystoneauth1 import exceptions, loading
from keystoneauth1.session import Session

from lab.errors import LabError
from lab.fault_proxy_service import FaultProxy
from lab.layout import Layout
from tests.lab.proxy import Proxy
from tests.unit.proxied import ADMIN, IMAGE, Rig, standing


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with standing(tmp_path) as made:
        yield made


@contextmanager
def logged_in(rig: Rig, **other: str) -> Iterator[Session]:
    given = {"username": "admin", "password": "lab", "project_name": "admin-project"}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    options = {"auth_url": rig.proxy.auth_url} | given | domains | other
    plugin = loading.get_plugin_loader("v3password").load_from_options(**options)
    with requests.Session() as connections:
        # No proxy of the caller's: this one is.
        connections.trust_env = False
        yield Session(auth=plugin, session=connections)


def look(rig: Rig, session: Session) -> int:
    status: int = session.get(rig.proxy.url + IMAGE, raise_exc=False).status_code
    return status


def test_a_login_by_password_finds_glance_in_the_catalogue(rig: Rig) -> None:
    with logged_in(rig) as session:
        assert session.get_endpoint(service_type="image") == rig.proxy.url
        reply = session.get(rig.proxy.url + IMAGE)
        assert reply.json()["token"] == ADMIN
        assert session.auth.get_access(session).role_names == ["admin"]
    assert rig.proxy.logins() == 1


def test_the_other_user_has_the_roles_of_a_member(rig: Rig) -> None:
    member = {"username": "member", "project_name": "member-project"}
    with logged_in(rig, **member) as session:
        reply = session.get(rig.proxy.url + IMAGE)
    assert reply.json()["token"] == "member:member-project:member,reader"  # noqa: S105


def test_expired_tokens_are_refused_until_the_next_login(rig: Rig) -> None:
    with logged_in(rig) as session:
        token = session.get_token()
        assert rig.proxy.expire_tokens() == 1
        # What the lab's Glance refuses.
        old = rig.ask(X_Auth_Token=token)[1]
        assert json.loads(old)["token"] == "expired"  # noqa: S105
        with rig.proxy.faulty({"path": IMAGE, "status": 401, "times": 1}):
            assert look(rig, session) == 200
        new = session.get_token()
    assert new != token
    assert rig.proxy.logins() == 2
    assert rig.proxy.expire_tokens() == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": "guess"}, "no user admin with that password"),
        ({"username": "eve"}, "no user eve"),
        ({"project_name": "secret"}, "admin has no project secret but admin-project"),
    ],
)
def test_a_wrong_login_is_refused(rig: Rig, wrong: dict[str, str], says: str) -> None:
    with (
        logged_in(rig, **wrong) as session,
        pytest.raises(exceptions.Unauthorized, match=says),
    ):
        session.get_token()
    assert rig.proxy.logins() == 0


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"auth": {"identity": 3}}'])
def test_a_login_that_is_none_is_refused(rig: Rig, body: str) -> None:
    assert rig.ask("/v3/auth/tokens", "POST", body.encode())[0] == 401


def test_keystone_says_which_version_it_is(rig: Rig) -> None:
    status, text = rig.ask("/v3/")
    assert (status, json.loads(text)["version"]["status"]) == (200, "stable")
    assert rig.ask("/v3/users")[0] == 404


def test_a_login_can_fail_too(rig: Rig) -> None:
    fault = {"method": "POST", "path": "^/v3/auth/tokens$", "status": 503}
    with (
        rig.proxy.faulty(fault),
        logged_in(rig) as session,
        pytest.raises(exceptions.ServiceUnavailable),
    ):
        session.get_token()


# The service

# A service outlives the command that starts it: here that is this process.
outlives_us = pytest.mark.filterwarnings("ignore:subprocess .* is still running")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FaultProxy]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    layout = Layout(tmp_path, "any")
    made = FaultProxy(layout, layout.glance / "port", range(port, port + 1))
    yield made
    made.clear()


@outlives_us
def test_the_service_starts_once_and_keeps_its_port(service: FaultProxy) -> None:
    assert not service.answers()
    service.start()
    (first,) = service.processes()
    service.start()
    assert [each.pid for each in service.processes()] == [first.pid]
    url = service.url
    service.stop()
    assert service.processes() == []
    service.start()
    assert service.url == url
    assert service.describe() == {
        "url": url,
        "auth_url": f"{url}/v3",
        "log": str(service.log),
    }


def test_the_service_takes_no_settings(service: FaultProxy) -> None:
    with pytest.raises(LabError, match="/_faults"):
        service.start(["a.b=c"])


@outlives_us
def test_the_log_has_a_line_for_each_request(service: FaultProxy) -> None:
    service.start()
    proxy = Proxy(service.url)
    proxy.set({"path": "/a", "status": 418})
    netloc = service.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(netloc, timeout=20)) as connection:
        connection.request("GET", "/a?b=c")
        connection.getresponse().read()
    assert "GET /a?b=c 418 status" in service.log.read_text().splitlines()
