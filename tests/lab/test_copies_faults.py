"""Copies through a network that fails: one is accepted, it is done, misses are told."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowpath import open_site
from cowpath.core.errors import UnavailableError
from cowpath.core.events import CopyAsked, CopyFinished, CopyJoined, Event, LookFailed
from cowpath.core.model import Base
from tests.lab.bench import EDGE, Bench, finished, follow, noise
from tests.lab.proxy import Fault, Proxy

pytestmark = pytest.mark.lab

_JSON = {"COWPATH_PROGRESS": "json"}
_LOOK: Fault = {"method": "GET", "path": "^/v2/images/"}
_ASK: Fault = {"method": "POST", "path": "/import$"}
_FOUND: Fault = _LOOK | {"after": 1}
"""Looks but the first, which finds the image: that is no look at a copy yet."""


class Diary:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def tell(self, event: Event) -> None:
        self.told.append(event)

    def count(self, *kinds: type[Event]) -> int:
        return sum(isinstance(event, kinds) for event in self.told)


class Edge:
    """A host at edge1 that asks Glance through the proxy."""

    def __init__(self, bench: Bench, proxy: Proxy, conf: str) -> None:
        self.bench = bench
        self.proxy = proxy
        self.conf = conf
        self.diary = Diary()

    def place(self, image: str) -> Base:
        self.diary = Diary()
        with open_site([self.conf], cloud="lab-admin", observer=self.diary) as site:
            return site.place(image)


@pytest.fixture
def proxy(lab: dict[str, Any]) -> Iterator[Proxy]:
    made = Proxy(lab["proxy"]["url"])
    made.clear()
    yield made
    made.clear()


@pytest.fixture
def edge(
    bench: Bench, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Edge:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    with Path(conf).open("a") as file:
        file.write("[libvirt]\nimages_rbd_glance_copy_poll_interval = 1\n")
    return Edge(bench, proxy, conf)


def _is_here_once(edge: Edge, image: str, base: Base) -> None:
    assert base.where == str(edge.bench.base(image))
    assert edge.bench.copies(image) == 1
    assert edge.bench.stores(image) == {"central", EDGE}
    assert edge.diary.count(CopyFinished) == 1


@pytest.mark.parametrize(
    ("fault", "times", "missed"),
    [
        ({"status": 500}, 3, 3),
        ({"status": 503, "body": "json", "text": "busy"}, 3, 3),
        ({"status": 404}, 2, 2),
        # What was broken off is asked once more, before it counts as missed.
        ({"reset": True}, 4, 2),
        ({"reset_after": True}, 4, 2),
        ({"truncate": True}, 3, 3),
        ({"garbage": True}, 3, 3),
    ],
    ids=["500", "503", "a page's 404", "reset", "lost", "truncated", "garbage"],
)
def test_looks_that_fail(edge: Edge, fault: Fault, times: int, missed: int) -> None:
    image = edge.bench.upload(noise(2))
    with edge.proxy.faulty(_FOUND | fault | {"times": times}):
        base = edge.place(image)
        assert edge.proxy.done() == [times]
    _is_here_once(edge, image, base)
    assert edge.diary.count(LookFailed) == missed
    assert edge.diary.count(CopyAsked) == 1


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ({"status": 500}, 1),
        ({"status": 502}, 2),
        ({"reset": True}, 1),
        ({"garbage": True}, 1),
    ],
    ids=["500", "502 twice", "reset", "garbage"],
)
def test_requests_that_never_reached_glance(
    edge: Edge, fault: Fault, times: int
) -> None:
    image = edge.bench.upload(noise(2))
    spoilt = _ASK | fault | {"times": times}
    with edge.proxy.counted() as came, edge.proxy.faulty(spoilt):
        base = edge.place(image)
    _is_here_once(edge, image, base)
    assert came[f"POST /v2/images/{image}/import"] == times + 1
    assert edge.diary.count(LookFailed) == times


def test_a_reply_that_was_lost(edge: Edge) -> None:
    """Glance had accepted the copy: it is found at the next look, and joined."""
    image = edge.bench.upload(noise(8))
    lost = _ASK | {"reset_after": True, "times": 1}
    with edge.proxy.counted() as came, edge.proxy.faulty(lost):
        base = edge.place(image)
    _is_here_once(edge, image, base)
    assert came[f"POST /v2/images/{image}/import"] == 1
    assert edge.diary.count(CopyAsked) == 0
    assert edge.diary.count(LookFailed) == 1
    assert edge.diary.count(CopyJoined) <= 1


def test_answers_that_are_late(edge: Edge) -> None:
    image = edge.bench.upload(noise(2))
    slow = {"path": "^/v2/", "delay_seconds": 0.7}
    with edge.proxy.faulty(slow):
        base = edge.place(image)
    _is_here_once(edge, image, base)
    assert edge.diary.count(LookFailed) == 0


@pytest.mark.parametrize("requests", [1, 5])
def test_answers_that_are_old(edge: Edge, requests: int) -> None:
    """A replica of the database lags all the time: no second copy, no false failure."""
    image = edge.bench.upload(noise(8))
    with (
        edge.proxy.counted() as came,
        edge.proxy.faulty(_LOOK | {"stale": requests}),
    ):
        base = edge.place(image)
    _is_here_once(edge, image, base)
    assert came[f"POST /v2/images/{image}/import"] == 1
    assert edge.diary.count(LookFailed) == 0


def test_a_token_that_expires_under_a_copy(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    image = bench.upload(noise(24))
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path, password=True)
    logins = proxy.logins()
    with bench.start("image", "place", image, conf=conf, **_JSON) as placing:
        assert placing.stderr
        follow(placing.stderr, '"CopyAsked"')
        assert proxy.expire_tokens() >= 1
        ran = finished(placing)
    assert ran.code == 0, ran
    assert bench.copies(image) == 1
    assert proxy.logins() - logins == 2


@pytest.mark.parametrize("seed", range(3))
def test_all_of_it_at_once(edge: Edge, seed: int) -> None:
    """Any schedule of a few faults ends well."""
    chance = random.Random(seed)  # noqa: S311  # to be repeated
    kinds: list[Fault] = [
        {"status": 500},
        {"status": 502, "body": "json"},
        {"reset": True},
        {"reset_after": True},
        {"truncate": True},
        {"garbage": True},
        {"stale": chance.randint(1, 4)},
        {"delay_seconds": 0.3},
    ]
    faults = [
        _FOUND | {"after": chance.randint(1, 8), "times": 1} | chance.choice(kinds)
        for _ in range(5)
    ]
    before: list[Fault] = [{"status": 503}, {"reset": True}, {"reset_after": True}]
    faults.append(_ASK | {"times": 1} | chance.choice(before))
    image = edge.bench.upload(noise(8))
    with edge.proxy.faulty(*faults):
        base = edge.place(image)
        done = edge.proxy.done()
    _is_here_once(edge, image, base)
    spoilt = _done(faults, done, "status", "truncate", "garbage")
    broken = _done(faults, done, "reset", "reset_after")
    # A look that is broken off is asked once more before it counts as missed.
    assert spoilt <= edge.diary.count(LookFailed) <= spoilt + broken


def _done(faults: list[Fault], done: list[int], *kinds: str) -> int:
    """Return to how many requests the faults of these kinds were done."""
    pairs = zip(faults, done, strict=True)
    return sum(count for fault, count in pairs if {*kinds} & {*fault})


def test_glance_is_out_of_reach_from_the_beginning(edge: Edge) -> None:
    """Nothing was accepted: three times, and then the end; the copy comes later."""
    image = edge.bench.upload(noise(1))
    with (
        edge.proxy.counted() as came,
        edge.proxy.faulty(_ASK | {"status": 503}),
        pytest.raises(UnavailableError, match="HTTP 503"),
    ):
        edge.place(image)
    assert came[f"POST /v2/images/{image}/import"] == 3
    assert edge.bench.copies(image) == 0
    _is_here_once(edge, image, edge.place(image))
