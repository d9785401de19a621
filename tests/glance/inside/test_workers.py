"""Processes that are forked after the application was loaded."""

import os
from typing import Any

import pytest

from cowpath.doors.glance import workers
from cowpath.doors.glance.workers import Serving


class _Server:
    """Serves an application, and sees who looks for what was interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.threads: list[Any] = []
        monkeypatch.setattr(workers, "_spawn", self.threads.append)
        self.application = Serving(
            lambda environ, _: [environ],
            lambda: self.events.append("looks"),
            lambda: self.events.append("forgets"),
        )
        self.application.begin()

    def ask(self) -> None:
        assert self.application("request", None) == ["request"]

    def run(self) -> list[str]:
        """Run what would be threads; return what was done."""
        while self.threads:
            self.threads.pop(0)()
        return self.events


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_SETTLED", 0)


def _becomes_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)


def test_a_process_that_serves_looks_without_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server(monkeypatch)
    assert server.run() == ["looks"]
    server.ask()
    assert server.run() == ["looks"]


def test_a_process_that_only_forks_does_not_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server(monkeypatch)
    _fork()
    assert server.run() == []


def test_a_process_that_serves_may_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Glance does to look at an image."""
    server = _Server(monkeypatch)
    server.ask()
    _fork()
    assert server.run() == ["looks"]


def _fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def test_a_worker_that_was_forked_begins_with_its_first_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server(monkeypatch)
    server.threads.clear()
    _becomes_another_process(monkeypatch)
    server.ask()
    assert server.run() == ["forgets", "looks"]
    server.ask()
    assert server.run() == ["forgets", "looks"]
