"""The pure parts of copying between Ceph clusters."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent
from cowpath.stores.rbd._known_sums import KnownSums
from cowpath.stores.rbd._layouts import Layout
from cowpath.stores.rbd._places import Place, draft_name, parse
from cowpath.stores.rbd._processes import is_dead, me
from cowpath.stores.rbd._ranges import joined, pieces
from cowpath.stores.rbd._sums_ahead import SumsBehind


@given(
    st.integers(0, 10**6), st.integers(0, 10**5), st.sampled_from([1 << 10, 1 << 14])
)
def test_pieces_cover_a_range_and_stay_in_one_object(
    start: int, length: int, most: int
) -> None:
    found = list(pieces(start, start + length, most))
    assert sum(each.length for each in found) == length
    at = start
    for each in found:
        assert each.offset == at
        assert each.offset // most == (each.end - 1) // most
        at = each.end


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5))))
def test_neighbours_are_made_one(steps: list[tuple[int, int]]) -> None:
    at, ranges = 0, []
    for gap, length in steps:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    found = list(joined(ranges))
    covered = {byte for start, end in found for byte in range(start, end)}
    assert covered == {byte for start, end in ranges for byte in range(start, end)}
    assert all(one[1] < two[0] for one, two in itertools.pairwise(found))


def test_url_is_as_glance_spells_it_and_read_again() -> None:
    place = Place("fsid", "a pool", "6f2e1c0a", "snap")
    assert place.url == "rbd://fsid/a%20pool/6f2e1c0a/snap"
    assert parse(place.url) == place


def test_draft_is_no_name_of_an_image() -> None:
    assert draft_name("6f2e1c0a") == "cowpath-copy-6f2e1c0a"


class TestLayouts:
    plain = Layout("1", 2, "rbd_data.1", 22, Bytes(10**9))

    def test_objects_are_named_as_librbd_does(self) -> None:
        assert self.plain.object_name(26) == "rbd_data.1.000000000000001a"

    @pytest.mark.parametrize(
        "other",
        [
            Layout("9", 2, "rbd_data.9", 23, Bytes(10**9)),
            Layout("9", 2, "rbd_data.9", 22, Bytes(10**9 + 1)),
            Layout("9", 2, "rbd_data.9", 22, Bytes(10**9), striped=True),
            Layout("9", 2, "rbd_data.9", 22, Bytes(10**9), layered=True),
        ],
    )
    def test_unlike_ones_are_not_compared(self, other: Layout) -> None:
        assert not self.plain.is_like(other)
        assert not other.is_like(self.plain)

    def test_like_ones_are(self) -> None:
        assert self.plain.is_like(Layout("9", 3, "rbd_data.9", 22, Bytes(10**9)))


class TestProcesses:
    def test_this_one_lives(self) -> None:
        assert not is_dead(me())

    def test_one_that_is_over_is_dead(self) -> None:
        code = "from cowpath.stores.rbd._processes import me; print(me())"
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        assert is_dead(done.stdout.strip())

    def test_pid_that_is_used_again_is_another_process(self) -> None:
        host, pid, started = me().rsplit(" ", 2)
        assert is_dead(f"{host} {pid} {int(started) + 1}")

    @pytest.mark.parametrize("text", ["", "elsewhere 1 2", "x", " 1 2"])
    def test_nobody_knows_of_others(self, text: str) -> None:
        assert not is_dead(text)


class TestKnownSums:
    def test_exactly_what_was_added_is_known(self) -> None:
        known = KnownSums()
        first, second = Extent(Bytes(0), Bytes(5)), Extent(Bytes(10), Bytes(5))
        known.add(first, b"12345678")
        known.add(second, b"abcdefgh")
        assert known.get(second) == b"abcdefgh"
        assert known.get(Extent(Bytes(10), Bytes(4))) is None
        assert known.get(Extent(Bytes(5), Bytes(5))) is None
        assert KnownSums().get(first) is None


class TestSumsBehind:
    """What a copy's arriving objects are asked for, and what of it still holds."""

    parts = tuple(Extent(Bytes(at << 20), Bytes(1 << 20)) for at in range(6))

    class Arriving:
        """A target of which the first objects are there; the very first is unlike."""

        def __init__(self, arrived: int) -> None:
            self.arrived = arrived
            self.versions = dict.fromkeys(range(6), 7)
            self.looked = threading.Event()

        @contextmanager
        def opened(self, _layout: Layout) -> Iterator["TestSumsBehind.Arriving"]:
            yield self

        def seen(self, part: Extent) -> tuple[bytes | None, int]:
            number = part.offset >> 20
            if number == 5:
                self.looked.set()
            told = b"unlike it" if number == 0 else _sum(number)
            return (told if number < self.arrived else None), 7

        def version(self, part: Extent) -> int | None:
            return self.versions.get(part.offset >> 20)

    def test_only_what_arrived_is_like_it_and_has_not_changed_is_known(self) -> None:
        theirs, target = KnownSums(), self.Arriving(4)
        for number, part in enumerate(self.parts):
            theirs.add(part, _sum(number))
        target.versions |= {1: 8}
        del target.versions[3]
        with ThreadPoolExecutor(2) as lanes:
            behind = SumsBehind(theirs, target.opened, lanes)
            behind.begin(Layout("1", 2, "rbd_data.1", 20, Bytes(6 << 20)))
            assert target.looked.wait(60)
            behind.end()
            known = behind.known(target)
        told = [known.get(part) for part in self.parts]
        assert told == [None, None, _sum(2), None, None, None]


def _sum(number: int) -> bytes:
    return bytes([number]) * 8
