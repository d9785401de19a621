"""Requests side by side: in order, in bounded memory, and none after the end."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice

import pytest

from cowpath.core.events import Event
from cowpath.core.model import Bytes, Image, ImageId
from cowpath.core.transfer import Extent
from cowpath.provision.copying.lanes import Lanes, Memory
from cowpath.provision.copying.progress import Progress, Result
from cowpath.provision.copying.targets import Targets
from cowpath.testing.clock import FakeClock

_LENGTH = 1000


class _Silence:
    def tell(self, event: Event) -> None:
        pass


class _Gate(Progress):
    """Opens as soon as anything is waited for."""

    def __init__(self) -> None:
        nobody = Targets([], all_or_none=False)
        super().__init__(Image(ImageId("i")), nobody, FakeClock(), _Silence())
        self.open = threading.Event()
        self.beaten = threading.Event()

    def beat(self) -> None:
        self.beaten.set()
        super().beat()

    def wait(self, future: Future[Result]) -> Result:
        self.open.set()
        return super().wait(future)


class _Counted:
    """Extents, and how many of them were asked for."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.drawn = 0

    def __iter__(self) -> Iterator[Extent]:
        for number in range(self._number):
            self.drawn += 1
            yield Extent(Bytes(number * _LENGTH), Bytes(_LENGTH))


@pytest.fixture
def gate() -> _Gate:
    return _Gate()


def _work(gate: _Gate, extent: Extent) -> int:
    # The first ends last, so all that may begin before it does begin.
    if not extent.offset:
        assert gate.open.wait(timeout=60)
    return int(extent.offset)


@pytest.mark.parametrize(
    ("lanes", "room", "begun"), [(2, 10**6, 4), (8, 10**6, 16), (8, 5 * _LENGTH, 5)]
)
def test_lanes_and_memory_bound_what_is_begun(
    gate: _Gate, lanes: int, room: int, begun: int
) -> None:
    work = Lanes(lanes, 1, Memory(Bytes(room)), gate)
    extents = _Counted(40)
    answers = work.map(lambda extent: _work(gate, extent), extents)
    assert next(answers)[1] == 0
    # One more was asked for, to find that there is no room for it.
    assert extents.drawn == begun + 1
    assert [each for _, each in answers] == [n * _LENGTH for n in range(1, 40)]
    work.end()


def test_each_answer_that_is_taken_begins_another_request(gate: _Gate) -> None:
    # All that was answered came out first, while nothing was asked for.
    work, extents = Lanes(2, 1, Memory(), gate), _Counted(9)
    answers = work.map(lambda extent: _work(gate, extent), extents)
    assert next(answers)[1] == 0
    _let_all_end(work)
    assert [each for _, each in islice(answers, 2)] == [_LENGTH, 2 * _LENGTH]
    assert extents.drawn == 7
    answers.close()  # type: ignore[attr-defined]  # a generator
    work.end()


def _let_all_end(work: Lanes) -> None:
    """Have both of two lanes do something else: what they did before is over."""
    both = threading.Barrier(2)
    other = threading.Thread(target=work.run, args=(partial(both.wait, 60),))
    other.start()
    work.run(partial(both.wait, 60))
    other.join(60)


def test_memory_is_given_back(gate: _Gate) -> None:
    memory = Memory(Bytes(4 * _LENGTH))
    work = Lanes(2, 1, memory, gate)
    for _ in range(3):
        answers = work.map(lambda extent: _work(gate, extent), _Counted(9))
        list(islice(answers, 5))
        answers.close()  # type: ignore[attr-defined]  # a generator
    assert memory.take(4 * _LENGTH, anyway=False)
    work.end()


def test_copy_gets_along_with_no_memory_at_all(gate: _Gate) -> None:
    memory = Memory(Bytes(0))
    work = Lanes(2, 1, memory, gate)
    extents = _Counted(3)
    answers = work.map(lambda extent: _work(gate, extent), extents)
    assert next(answers)[1] == 0
    assert extents.drawn == 2
    assert [each for _, each in answers] == [_LENGTH, 2 * _LENGTH]
    work.end()


def test_error_comes_out_in_its_turn(gate: _Gate) -> None:
    work = Lanes(2, 1, Memory(), gate)

    def fail(extent: Extent) -> int:
        if extent.offset == 2 * _LENGTH:
            raise ValueError("third")
        return int(extent.offset)

    answers = work.map(fail, _Counted(9))
    assert [each for _, each in islice(answers, 2)] == [0, _LENGTH]
    with pytest.raises(ValueError, match="third"):
        next(answers)
    work.end()


def test_the_end_is_waited_for_with_progress(gate: _Gate) -> None:
    # The request ends when somebody was told of progress, and not before.
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        assert gate.beaten.wait(timeout=60)

    work = Lanes(1, 1, Memory(), gate)
    hanging = work.begin(hang)
    assert begun.wait(timeout=60)
    work.end()
    assert hanging.done()
