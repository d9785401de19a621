import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest

from lab.fault_proxy_faults import BadFaultError, parse
from lab.waiting import wait_until
from tests.unit.proxied import ADMIN, IMAGE, MIB, Rig, standing


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with standing(tmp_path) as made:
        yield made


# Without faults


def test_an_answer_is_passed_on_as_it_is(rig: Rig) -> None:
    with rig.connect() as connection:
        connection.request("GET", f"{IMAGE}?a=b", headers={"X-Auth-Token": ADMIN})
        reply = connection.getresponse()
        assert json.loads(reply.read()) == {"number": 1, "token": ADMIN}
    assert reply.status == 200
    assert reply.getheader("X-Openstack-Request-Id") == "req-1"
    assert len(reply.headers.get_all("Server", [])) == 1
    assert rig.glance.requests == [f"GET {IMAGE}?a=b"]


def test_a_connection_serves_many_requests(rig: Rig) -> None:
    with rig.connect() as connection:
        for method in ("GET", "PUT", "HEAD", "GET"):
            connection.request(method, IMAGE, b"body" if method == "PUT" else None)
            reply = connection.getresponse()
            assert reply.status in {200, 202}
            reply.read()
            assert not reply.will_close


@pytest.mark.parametrize("body", [bytes(5 * MIB), [bytes(MIB)] * 5])
def test_an_upload_goes_through_in_pieces(rig: Rig, body: Any) -> None:
    assert rig.ask(f"{IMAGE}/file", "PUT", body) == (202, f'{{"size": {5 * MIB}}}')


def test_a_download_without_a_length_goes_through(rig: Rig) -> None:
    status, text = rig.ask("/pieces")
    assert (status, len(text)) == (200, 4 * MIB)


def test_an_early_refusal_reaches_the_client(rig: Rig) -> None:
    assert rig.ask("/full", "PUT", b"a few bytes")[0] == 413


def test_a_client_that_leaves_in_an_upload_leaves_glance_too(rig: Rig) -> None:
    with rig.connect() as connection:
        connection.putrequest("PUT", f"{IMAGE}/file")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"only these")
    assert rig.glance.cut_off.wait(10)


def test_an_answer_that_glance_breaks_off_is_broken_off(rig: Rig) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        rig.ask("/broken")


def test_glance_may_come_back_on_another_port(rig: Rig) -> None:
    port = rig.port_record.read_text()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        rig.port_record.write_text(f"{closed.getsockname()[1]}\n")
        with pytest.raises(ConnectionResetError):
            rig.ask()
    rig.port_record.unlink()
    with pytest.raises(ConnectionResetError):
        rig.ask()
    rig.port_record.write_text(port)
    assert rig.number() == 1


def test_requests_are_counted_as_they_come(rig: Rig) -> None:
    other = f"/v2/images/{uuid4()}"
    with rig.proxy.counted() as came:
        for path in (IMAGE, IMAGE, other, "/v2/images?limit=3"):
            rig.ask(path)
        rig.ask(f"{IMAGE}/import", "POST", b"{}")
    assert came == {
        f"GET {IMAGE}": 2,
        f"GET {other}": 1,
        "GET /v2/images": 1,
        f"POST {IMAGE}/import": 1,
    }
    assert rig.proxy.shapes() == {
        "GET /v2/images/{id}": 3,
        "GET /v2/images": 1,
        "POST /v2/images/{id}/import": 1,
    }
    rig.control("DELETE", "/_counts", "")
    assert rig.proxy.shapes() == {}


# Faults


@pytest.mark.parametrize(
    ("body", "kind"), [("html", "<h1>409 Conflict</h1>"), ("json", '"code": 409')]
)
def test_a_status_of_our_own(rig: Rig, body: str, kind: str) -> None:
    fault = {"method": "POST", "path": "/import$", "status": 409, "body": body}
    with rig.proxy.faulty(fault | {"text": "lock & key"}):
        status, text = rig.ask(f"{IMAGE}/import", "POST", b"{}")
        assert rig.ask()[0] == 200
    assert status == 409
    assert kind in text
    assert "key" in text
    assert rig.glance.requests == [f"GET {IMAGE}"]


def test_a_request_that_was_refused_leaves_the_connection_usable(rig: Rig) -> None:
    with rig.proxy.faulty({"path": "", "status": 503, "times": 2}), rig.connect() as c:
        for method, status in (("HEAD", 503), ("PUT", 503), ("GET", 200)):
            c.request(method, IMAGE, bytes(MIB) if method == "PUT" else None)
            reply = c.getresponse()
            reply.read()
            assert reply.status == status


def test_a_fault_begins_late_and_ends_by_itself(rig: Rig) -> None:
    with rig.proxy.faulty({"path": IMAGE, "status": 500, "after": 2, "times": 3}):
        assert rig.proxy.left() == [3]
        statuses = [rig.ask()[0] for _ in range(7)]
        assert (rig.proxy.done(), rig.proxy.left()) == ([3], [0])
    assert statuses == [200, 200, 500, 500, 500, 200, 200]


def test_faults_take_turns_and_each_counts_all_that_match(rig: Rig) -> None:
    first = {"path": IMAGE, "status": 500, "times": 1}
    second = {"path": IMAGE, "status": 503, "after": 2}
    with rig.proxy.faulty(first, second):
        assert [rig.ask()[0] for _ in range(4)] == [500, 200, 503, 503]
        assert rig.proxy.left() == [0, None]
    assert rig.ask()[0] == 200


def test_a_fault_with_times_is_done_so_often_to_many_at_once(rig: Rig) -> None:
    statuses: list[int] = []
    together = Barrier(40)

    def ask() -> None:
        together.wait()
        statuses.append(rig.ask()[0])

    with rig.proxy.faulty({"path": IMAGE, "status": 500, "times": 7}):
        threads = [Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] * 33 + [500] * 7


def test_a_reset_before_glance_hears_of_it(rig: Rig) -> None:
    with (
        rig.proxy.faulty({"path": IMAGE, "reset": True}),
        pytest.raises(ConnectionResetError),
    ):
        rig.ask(method="POST", body=b"{}")
    assert rig.glance.requests == []


@pytest.mark.parametrize("how", ["reset", "reset_after"])
def test_a_reset_is_one_and_no_mere_end(rig: Rig, how: str) -> None:
    place = ("127.0.0.1", int(rig.server.url.rpartition(":")[2]))
    with (
        rig.proxy.faulty({"path": IMAGE, how: True}),
        socket.create_connection(place, timeout=20) as client,
    ):
        client.sendall(f"GET {IMAGE} HTTP/1.1\r\nHost: any\r\n\r\n".encode())
        # After a mere end this would return nothing.
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_reply_that_is_lost(rig: Rig) -> None:
    with (
        rig.proxy.faulty({"path": IMAGE, "reset_after": True}),
        pytest.raises(ConnectionResetError),
    ):
        rig.ask(method="POST", body=b"{}")
    assert rig.glance.requests == [f"POST {IMAGE}"]


@pytest.mark.parametrize("path", [IMAGE, "/pieces"])
def test_half_an_answer(rig: Rig, path: str) -> None:
    with (
        rig.proxy.faulty({"path": path, "truncate": True}),
        pytest.raises(http.client.IncompleteRead) as caught,
    ):
        rig.ask(path)
    sent, missing = len(caught.value.partial), caught.value.expected
    assert sent > 0
    assert missing is not None
    assert missing - sent in {0, 1}


def test_half_of_no_answer_is_a_reset(rig: Rig) -> None:
    """What has no body would be whole with half of it."""
    with rig.proxy.faulty({"path": "", "truncate": True}):
        for method, path in (("HEAD", IMAGE), ("DELETE", IMAGE), ("POST", "/empty")):
            with pytest.raises(ConnectionResetError):
                rig.ask(path, method)
        assert rig.proxy.done() == [3]
    asked = [f"HEAD {IMAGE}", f"DELETE {IMAGE}", "POST /empty"]
    assert rig.glance.requests == asked


@pytest.mark.parametrize("body", ["html", "json"])
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_has_no_body_is_sent_without(
    rig: Rig, status: int, body: str
) -> None:
    """A client would take it for the answer to its next request."""
    fault = {"path": IMAGE, "status": status, "body": body, "times": 1}
    with rig.proxy.faulty(fault), rig.connect() as connection:
        connection.request("GET", IMAGE)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (status, b"")
        assert reply.getheader("Content-Length") is None
        assert reply.getheader("Transfer-Encoding") is None
        connection.request("GET", IMAGE)
        assert json.loads(connection.getresponse().read())["number"] == 1


def test_an_answer_without_a_body_is_passed_on_without(rig: Rig) -> None:
    with rig.connect() as connection:
        for method, status in (("DELETE", 204), ("GET", 200)):
            connection.request(method, IMAGE)
            reply = connection.getresponse()
            assert (reply.status, bool(reply.read())) == (status, status == 200)


def test_something_else_than_glance(rig: Rig) -> None:
    with rig.proxy.faulty({"path": IMAGE, "garbage": True}):
        status, text = rig.ask()
    assert status == 200
    assert text.startswith("<html>")


def test_a_delay_lasts_until_the_fault_is_cleared(rig: Rig) -> None:
    answers: list[int] = []
    waiting = Thread(target=lambda: answers.append(rig.ask()[0]))
    rig.proxy.set({"path": IMAGE, "delay_seconds": 3000})
    waiting.start()
    assert wait_until(lambda: rig.proxy.done() == [1], within_seconds=10)
    assert (answers, rig.glance.requests) == ([], [])
    rig.proxy.clear()
    waiting.join(10)
    assert answers == [200]


def test_a_delay_goes_with_another_fault(rig: Rig) -> None:
    with rig.proxy.faulty({"path": IMAGE, "delay_seconds": 0.01, "status": 500}):
        assert rig.ask()[0] == 500


def test_a_frozen_answer_is_the_one_of_when_it_was_set(rig: Rig) -> None:
    assert [rig.number(), rig.number(), rig.number("/other")] == [1, 2, 3]
    with rig.proxy.faulty({"path": "", "stale": True}):
        assert [rig.number(), rig.number(), rig.number("/other")] == [2, 2, 3]
        first = rig.number("/new")
        assert rig.number("/new") == first
        status, _ = rig.ask(method="PUT", body=b"not a look")
        assert status == 202
    assert rig.number() > first


def test_stale_answers_run_behind(rig: Rig) -> None:
    with rig.proxy.faulty({"path": IMAGE, "stale": 2}):
        assert [rig.number() for _ in range(6)] == [1, 1, 1, 2, 3, 4]


def test_nobody_gets_another_user_s_answer(rig: Rig) -> None:
    rig.ask(X_Auth_Token=ADMIN)
    with rig.proxy.faulty({"path": IMAGE, "stale": True}):
        _, text = rig.ask(X_Auth_Token="member:p:member")  # noqa: S106
        assert json.loads(text)["token"] == "member:p:member"  # noqa: S105
        assert rig.number(X_Auth_Token=ADMIN) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "JSON list"),
        ([3], "Fault 0 cannot be set: it is not a JSON object"),
        ([{"path": ""}], "say what to do: one of status, reset, reset_after"),
        ([{"status": 500}], "path has to be"),
        ([{"path": "(", "status": 500}], "no regular expression"),
        ([{"path": "", "status": 500, "time": 1}], "unknown time; known are after"),
        ([{"path": "", "status": 99}], "status is a number from 200"),
        ([{"path": "", "status": 600}], "status is at most 599"),
        ([{"path": "", "status": True}], "status is a number"),
        ([{"path": "", "status": 500, "reset": True}], "cannot both be done"),
        ([{"path": "", "reset": False}], "reset takes true"),
        ([{"path": "", "reset": True, "body": "html"}], "go with status only"),
        ([{"path": "", "status": 500, "body": "xml"}], "one of html, json"),
        ([{"path": "", "status": 500, "text": 3}], "text is a string"),
        ([{"path": "", "reset": True, "times": 0}], "times is a number from 1"),
        ([{"path": "", "reset": True, "after": -1}], "after is a number from 0"),
        ([{"path": "", "reset": True, "method": "get"}], "method is one of GET"),
        ([{"path": "", "delay_seconds": -1}], "delay_seconds is from 0"),
        ([{"path": "", "delay_seconds": "1"}], "delay_seconds is from 0"),
        ([{"path": "", "stale": 0}], "stale is a number from 1"),
        ([{"path": "", "stale": 1000}], "stale is at most 99"),
        ([{"path": "", "reset": True}, {}], "Fault 1 cannot be set"),
    ],
)
def test_what_is_no_fault_is_refused(asked: object, says: str) -> None:
    with pytest.raises(BadFaultError) as caught:
        parse(asked)
    assert says in str(caught.value)


def test_a_refused_list_changes_nothing(rig: Rig) -> None:
    with rig.proxy.faulty({"path": IMAGE, "status": 500}):
        status, said = rig.control("PUT", "/_faults", '[{"path": "", "stat": 1}]')
        assert (status, "unknown stat" in said["error"]) == (400, True)
        status, said = rig.control("PUT", "/_faults", "[")
        assert (status, "no JSON" in said["error"]) == (400, True)
        assert rig.ask()[0] == 500


def test_a_control_that_is_not_there_says_which_are(rig: Rig) -> None:
    status, said = rig.control("POST", "/_fault", "")
    assert (status, "/_faults" in said["error"]) == (404, True)
    assert rig.glance.requests == []
