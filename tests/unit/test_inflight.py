"""One piece of work per key at a time, with real threads; its outcome is shared."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest

from cowpath.core.errors import CopyFailedError, CowpathError
from cowpath.provision import inflight
from cowpath.provision.inflight import Inflight

Result = TypeVar("Result")

_PATIENCE_SECONDS = 30
"""Only a broken test waits this long."""


class Works:
    """Work that begins and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.leaders: list[int] = []
        self.ends: list[Callable[[], str]] = []

    def run(self) -> str:
        self.leaders.append(threading.get_ident())
        end = self.ends.pop(0) if self.ends else lambda: "done"
        self.begun.release()
        assert self.go_on.acquire(timeout=_PATIENCE_SECONDS)
        return end()

    def await_begin(self) -> None:
        assert self.begun.acquire(timeout=_PATIENCE_SECONDS)


class _Told(threading.Event):
    """An event that tells who is about to wait for it."""

    def __init__(self, waiting: threading.Semaphore) -> None:
        super().__init__()
        self._waiting = waiting

    def wait(self, timeout: float | None = None) -> bool:
        self._waiting.release()
        return super().wait(timeout)


class Callers:
    """Callers of one key that are known to wait before the leader ends."""

    def __init__(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inflight: Inflight[str, str] = Inflight()
        self.works = Works()
        self.pool = ThreadPoolExecutor(number)
        self.number = number
        self._waiting = threading.Semaphore(0)

        def flight() -> inflight._Flight[str]:
            made: inflight._Flight[str] = real()
            made.over = _Told(self._waiting)
            return made

        real = inflight._Flight
        monkeypatch.setattr(inflight, "_Flight", flight)

    def start(self) -> tuple[Future[str], list[Future[str]]]:
        """Let one lead and all others wait for it."""
        leader = self._call()
        self.works.await_begin()
        others = [self._call() for _ in range(self.number - 1)]
        self.await_waiting(self.number - 1)
        return leader, others

    def await_waiting(self, number: int) -> None:
        """Return once so many have come to wait."""
        for _ in range(number):
            assert self._waiting.acquire(timeout=_PATIENCE_SECONDS)

    def _call(self) -> Future[str]:
        return self.pool.submit(alone, self.inflight, "key", self.works.run)


def alone(
    shared: Inflight[str, Result], key: str, work: Callable[[], Result]
) -> Result:
    """Run one piece of work under one key."""

    def lead(keys: tuple[str, ...]) -> dict[str, Result | CowpathError]:
        assert keys == (key,)
        try:
            return {key: work()}
        except CowpathError as error:
            return {key: error}

    outcome = shared.run([key], lead)[key]
    if isinstance(outcome, CowpathError):
        raise outcome
    return outcome


def raises(error: BaseException) -> Callable[[], str]:
    def end() -> str:
        raise error

    return end


def test_one_leads_and_all_get_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    callers = Callers(8, monkeypatch)
    with callers.pool:
        leader, others = callers.start()
        callers.works.go_on.release()
        assert {future.result() for future in (leader, *others)} == {"done"}
    assert len(callers.works.leaders) == 1


def test_all_get_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    callers = Callers(8, monkeypatch)
    error = CopyFailedError("the store broke")
    callers.works.ends = [raises(error)]
    with callers.pool:
        leader, others = callers.start()
        callers.works.go_on.release()
        assert {future.exception() for future in (leader, *others)} == {error}
    assert len(callers.works.leaders) == 1


@pytest.mark.parametrize("cancel", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_leader_that_is_cancelled_is_replaced_by_one_of_the_others(
    cancel: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = Callers(6, monkeypatch)
    callers.works.ends = [raises(cancel())]
    with callers.pool:
        leader, others = callers.start()
        callers.works.go_on.release()
        callers.works.await_begin()
        callers.await_waiting(4)
        callers.works.go_on.release()
        assert isinstance(leader.exception(), cancel)
        assert {future.result() for future in others} == {"done"}
    assert len(set(callers.works.leaders)) == len(callers.works.leaders) == 2


def test_who_comes_later_does_its_own_work() -> None:
    shared: Inflight[str, int] = Inflight()
    results = iter(range(3))
    assert [alone(shared, "key", lambda: next(results)) for _ in range(3)] == [0, 1, 2]


def test_an_error_is_not_remembered() -> None:
    shared: Inflight[str, str] = Inflight()
    with pytest.raises(CopyFailedError):
        alone(shared, "key", raises(CopyFailedError("once")))
    assert alone(shared, "key", lambda: "twice") == "twice"


def test_other_keys_do_not_wait() -> None:
    shared: Inflight[str, str] = Inflight()
    works = Works()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(alone, shared, "edge1", works.run)
        works.await_begin()
        assert alone(shared, "edge2", lambda: "other") == "other"
        assert not first.done()
        works.go_on.release()
        assert first.result() == "done"
    assert shared._flights == {}


def test_of_several_keys_those_that_nobody_works_on_are_led_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callers = Callers(2, monkeypatch)
    led: list[tuple[str, ...]] = []

    def both(keys: tuple[str, ...]) -> dict[str, str | CowpathError]:
        led.append(keys)
        return dict.fromkeys(keys, "mine")

    with callers.pool:
        leader = callers._call()
        callers.works.await_begin()
        second = callers.pool.submit(callers.inflight.run, ["a", "key", "b"], both)
        callers.await_waiting(1)
        assert led == [("a", "b")]
        callers.works.go_on.release()
        assert leader.result() == "done"
        assert second.result() == {"a": "mine", "key": "done", "b": "mine"}
    assert led == [("a", "b")]


def test_of_several_keys_each_has_its_own_outcome() -> None:
    shared: Inflight[str, str] = Inflight()
    error = CopyFailedError("the store broke")
    outcomes: dict[str, str | CowpathError] = {"a": "done", "b": error}
    assert shared.run(["a", "b", "a"], lambda _: outcomes) == outcomes


def test_the_keys_of_a_cancelled_leader_are_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callers = Callers(2, monkeypatch)
    callers.works.ends = [raises(KeyboardInterrupt())]
    with callers.pool:
        leader, others = callers.start()
        callers.works.go_on.release()
        callers.works.await_begin()
        callers.works.go_on.release()
        assert isinstance(leader.exception(), KeyboardInterrupt)
        assert [future.result() for future in others] == ["done"]
