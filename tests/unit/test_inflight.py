"""One piece of work per key at a time, with real threads; its outcome is shared."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cowpath.core.errors import CopyFailedError
from cowpath.provision import inflight
from cowpath.provision.inflight import Inflight

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
        self.inflight: Inflight[str] = Inflight()
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
        return self.pool.submit(self.inflight.run, "key", self.works.run)


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
    shared: Inflight[int] = Inflight()
    results = iter(range(3))
    assert [shared.run("key", lambda: next(results)) for _ in range(3)] == [0, 1, 2]


def test_an_error_is_not_remembered() -> None:
    shared: Inflight[str] = Inflight()
    with pytest.raises(CopyFailedError):
        shared.run("key", raises(CopyFailedError("once")))
    assert shared.run("key", lambda: "twice") == "twice"


def test_no_result_is_a_result() -> None:
    shared: Inflight[None] = Inflight()
    assert shared.run("key", lambda: None) is None


def test_other_keys_do_not_wait() -> None:
    shared: Inflight[str] = Inflight()
    works = Works()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shared.run, ("image", "edge1"), works.run)
        works.await_begin()
        assert shared.run(("image", "edge2"), lambda: "other") == "other"
        assert not first.done()
        works.go_on.release()
        assert first.result() == "done"
    assert shared._flights == {}
