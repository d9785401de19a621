"""Where bytes come from, in which pieces, and how fast: the rules of a copy."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.model import Bytes, Image, ImageId, StoreName
from cowpath.core.transfer import Extent, Terms, Verify
from cowpath.core.transfer_rules import (
    ZERO_RUN,
    Pace,
    Rate,
    combined,
    merged,
    outside,
    runs,
    source_order,
    split,
)

_MIB = 1024**2


def _extent(offset: int, length: int) -> Extent:
    return Extent(Bytes(offset), Bytes(length))


def _names(*names: str) -> frozenset[StoreName]:
    return frozenset(map(StoreName, names))


@st.composite
def _layouts(draw: st.DrawFn) -> list[Extent]:
    """Return extents in order and apart."""
    cuts = sorted(draw(st.sets(st.integers(0, 60), max_size=10)))
    return [_extent(a, b - a) for a, b in list(pairwise(cuts))[::2]]


def _covered(extents: list[Extent]) -> set[int]:
    return {at for each in extents for at in range(each.offset, each.end)}


class TestSources:
    image = Image(ImageId("i"), stores=_names("central", "edge1", "edge2", "tape"))

    def test_cheapest_first(self) -> None:
        costs = {StoreName("central"): 5.0, StoreName("edge2"): 1.0}
        stores = _names("central", "edge1", "edge2")
        order = source_order(self.image, stores, (), costs)
        assert order == ("edge1", "edge2", "central")

    def test_equals_by_name(self) -> None:
        order = source_order(self.image, _names("edge2", "edge1"), (), {})
        assert order == ("edge1", "edge2")

    def test_only_what_has_the_image_and_is_no_target(self) -> None:
        stores = _names("central", "edge1", "elsewhere")
        assert source_order(self.image, stores, _names("edge1"), {}) == ("central",)


class TestCombined:
    def test_it_keeps_to_each(self) -> None:
        found = combined(
            [
                Terms(Verify.NONE, Bytes(8 * _MIB), lanes=8, chunk=Bytes(_MIB)),
                Terms(Verify.TRANSFER, None, lanes=4, chunk=Bytes(4 * _MIB)),
            ]
        )
        assert found == Terms(Verify.TRANSFER, Bytes(8 * _MIB), 4, Bytes(_MIB))

    def test_one_that_wants_the_hash_is_enough(self) -> None:
        terms = [Terms(Verify.NONE), Terms(Verify.IMAGE), Terms(Verify.TRANSFER)]
        assert combined(terms).verify is Verify.IMAGE

    @pytest.mark.parametrize(
        ("bandwidth", "chunk"),
        [(10 * _MIB, 4 * _MIB), (_MIB + 5, _MIB), (1000, 512), (1, 1)],
    )
    def test_no_request_is_over_a_second_of_the_bandwidth(
        self, bandwidth: int, chunk: int
    ) -> None:
        assert combined([Terms(bandwidth=Bytes(bandwidth))]).chunk == chunk


class TestExtents:
    @given(_layouts(), st.integers(1, 9))
    def test_split_keeps_all_bytes(self, layout: list[Extent], most: int) -> None:
        pieces = list(split(layout, Bytes(most)))
        assert _covered(pieces) == _covered(layout)
        assert all(0 < piece.length <= most for piece in pieces)
        assert sum(piece.length for piece in pieces) == len(_covered(layout))

    @given(_layouts(), _layouts())
    def test_outside_is_the_difference(
        self, layout: list[Extent], known: list[Extent]
    ) -> None:
        found = list(outside(layout, known))
        assert _covered(found) == _covered(layout) - _covered(known)
        assert sum(each.length for each in found) == len(_covered(found))
        assert all(one.end <= other.offset for one, other in pairwise(found))

    @given(_layouts(), _layouts())
    def test_merged_is_in_order(self, layout: list[Extent], more: list[Extent]) -> None:
        extra = list(outside(more, layout))
        both = merged(layout, extra)
        assert _covered(list(both)) == _covered(layout) | _covered(extra)
        assert list(both) == sorted(both, key=lambda each: each.offset)


class TestRuns:
    @given(
        st.integers(0, 2 * ZERO_RUN),
        st.lists(st.tuples(st.booleans(), st.integers(1, 2 * ZERO_RUN)), max_size=4),
    )
    def test_they_are_the_extent_and_only_zeros_are_left_out(
        self, offset: int, parts: list[tuple[bool, int]]
    ) -> None:
        data = b"".join(bytes([filled]) * length for filled, length in parts)
        found = list(runs(_extent(offset, len(data)), data))
        ends = [offset, *(part.end for part, _ in found)]
        assert [part.offset for part, _ in found] == ends[:-1]
        assert ends[-1] == offset + len(data)
        assert all(one != other for (_, one), (_, other) in pairwise(found))
        for part, filled in found:
            inside = data[part.offset - offset : part.end - offset]
            assert filled or not inside.strip(b"\0")

    def test_aligned_zeros_are_found(self) -> None:
        data = b"x" + bytes(3 * ZERO_RUN)
        found = list(runs(_extent(ZERO_RUN, len(data)), data))
        assert found == [
            (_extent(ZERO_RUN, ZERO_RUN), True),
            (_extent(2 * ZERO_RUN, 2 * ZERO_RUN + 1), False),
        ]


class TestPace:
    @given(
        st.integers(1, 1000),
        st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 3)), max_size=20),
    )
    def test_never_over_the_bandwidth(
        self, bandwidth: int, requests: list[tuple[int, float]]
    ) -> None:
        pace, now, sent = Pace(), 0.0, []
        for length, idle in requests:
            now += idle
            now += pace.wait(Bytes(length), Bytes(bandwidth), now)
            sent.append((now, length))
        for begin in range(len(sent)):
            for end in range(begin + 1, len(sent)):
                seconds = sent[end][0] - sent[begin][0]
                crossed = sum(length for _, length in sent[begin + 1 : end + 1])
                # A second of what was left unused may be made up for.
                assert crossed <= bandwidth * (seconds + 1) * (1 + 1e-9) + 1e-6

    def test_exact_over_the_whole_copy(self) -> None:
        pace, now = Pace(), 100.0
        for _ in range(50):
            now += pace.wait(Bytes(30), Bytes(100), now)
        assert now == pytest.approx(100 + 50 * 30 / 100)


class TestRate:
    def test_it_is_that_of_the_last_half_minute(self) -> None:
        rate = Rate()
        assert rate.saw(0, 0) is None
        assert rate.saw(100, 10) == pytest.approx(10)
        assert rate.saw(100, 40) is None
        assert rate.saw(400, 70) == pytest.approx(10)
