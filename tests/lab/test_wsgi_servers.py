"""Our application under uWSGI and under Apache, with two processes that answer."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.wsgi_servers import Apache, Server, Uwsgi
from tests.lab.bench import Bench, noise
from tests.lab.glance_host import VENV, Host, ready

pytestmark = [pytest.mark.lab, pytest.mark.soak]

_SLOW = "cowpath.bandwidth=*:*=8M"
_LEFT = "this process ends; its next start goes on with the copy"
_TAKEN_UP = "going on with the copy"
_LAZY = {"lazy-apps": "true"}
_DEBIAN = "home = /usr/bin"


@dataclass(frozen=True, slots=True)
class Way:
    """A server, and the signal by which it starts its processes anew."""

    server: Server
    anew: signal.Signals


_WAYS = {
    "uwsgi": Way(Uwsgi(_LAZY), signal.SIGHUP),
    # Its master has loaded the application before it forks.
    "uwsgi-preforking": Way(Uwsgi(), signal.SIGHUP),
    "apache": Way(Apache(), signal.SIGUSR1),
}


def _check(server: Server) -> None:
    if server.lacks:
        pytest.skip(f"this machine has no {server.lacks}")
    if _DEBIAN not in (VENV / "pyvenv.cfg").read_text():
        pytest.skip(f"{server.program} runs Debian's Python, the lab's Glance another")


@pytest.fixture(scope="module", params=[*_WAYS])
def way(request: pytest.FixtureRequest) -> Way:
    made = _WAYS[request.param]
    _check(made.server)
    return made


@pytest.fixture(scope="module")
def host(
    way: Way,
    bench: Bench,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    ready()
    home = tmp_path_factory.mktemp("host")
    with Host(bench, home, way.server, (_SLOW,)).serving() as made:
        yield made


def _is_whole(host: Host, image: str, task: str, content: list[bytes]) -> None:
    bench, door = host.bench, host.door
    ended = door.ended(image, task)
    assert (ended["status"], ended["message"]) == ("success", "Copied to edge1.")
    assert bench.tasks(image) == [(task, "success")]
    assert bench.stores(image) == {"central", "edge1"}
    assert bench.glance_file(image, "edge1").read_bytes() == b"".join(content)
    assert door.files(image, "edge1") == [image]
    bench.wait(lambda: door.records == [], "the record's end")


def test_a_copy_outlives_the_processes_that_are_at_it(host: Host, way: Way) -> None:
    """One that is killed, and one that is started anew: it leaves it in moments."""
    bench, door, content = host.bench, host.door, noise(32)
    image = bench.upload(content)
    task = door.ask(image, "edge1")
    door.begun(task)
    os.kill(host.copier(task), signal.SIGKILL)
    bench.wait(lambda: f"{task}: {_TAKEN_UP}" in host.log, "a successor")
    host.tell(way.anew)
    bench.wait(lambda: f"{task}: {_LEFT}" in host.log, "the successor's end")
    bench.wait(lambda: host.log.count(f"{task}: {_TAKEN_UP}") > 1, "the third one")
    _is_whole(host, image, task, content)


def test_an_upload(host: Host) -> None:
    bench, content = host.door.bench, noise(3)
    image = bench.upload(content)
    assert bench.glance_file(image, "central").read_bytes() == b"".join(content)
    bench.delete(image)


def test_uwsgi_without_threads_does_not_start(
    bench: Bench,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Glance's own would start, and leave each import pending."""
    ready()
    server = Uwsgi(_LAZY, threads=0)
    _check(server)
    host = Host(bench, tmp_path_factory.mktemp("host"), server)
    try:
        assert host.spawn().wait(60) != 0
    finally:
        host.stop()
    assert "uWSGI runs no threads" in host.log
