"""The arithmetic of the benchmarks; what they measure, they measure on the lab."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.cold_figures import Effort, Peers, lines, medians, ratios, turned
from benchmarks.cold_shapes import FULL, LARGE, SPARSE, Shape
from benchmarks.guest_figures import Latencies, alike, p99, told
from lab import wan_link
from lab.wan_link import Direction

_PEERS = Peers("glance", "deep copy", "hashing", "door", "transfer", "image")
_MIDDLE = {
    "glance": Effort(20.0, stored_bytes=1024),
    "deep copy": Effort(1.0),
    "hashing": Effort(1.6),
    "door": Effort(2.0, stored_bytes=305),
    "transfer": Effort(1.25, stored_bytes=304),
    "image": Effort(2.0),
}


def test_every_measure_has_a_median_of_its_own() -> None:
    efforts = [Effort(3.0, 1.0), Effort(1.0, 2.0), Effort(2.0, 9.0)]
    assert medians([("a", each) for each in efforts]) == {"a": Effort(2.0, 2.0)}


def test_methods_are_not_mixed() -> None:
    found = medians([("a", Effort(1.0)), ("b", Effort(5.0)), ("a", Effort(3.0))])
    assert {name: effort.seconds for name, effort in found.items()} == {"a": 2, "b": 5}


def test_each_round_begins_with_another_one() -> None:
    assert [turned("abc", number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_the_ratios_are_of_those_who_did_the_same() -> None:
    assert ratios(_MIDDLE, _PEERS, 304) == {
        "glance_over_cowpath": 10.0,
        "cowpath_over_deep_copy": 1.25,
        "cowpath_over_floor": 1.25,
        "target_over_source_bytes": 1.003,
    }


def test_the_floor_is_the_slower_of_copying_and_hashing() -> None:
    slow = {**_MIDDLE, "deep copy": Effort(4.0)}
    assert ratios(slow, _PEERS, 304)["cowpath_over_floor"] == 0.5


@pytest.mark.parametrize(
    ("missing", "none"),
    [
        ("glance", {"glance_over_cowpath"}),
        ("door", {"glance_over_cowpath"}),
        ("deep copy", {"cowpath_over_deep_copy", "cowpath_over_floor"}),
        ("hashing", {"cowpath_over_floor"}),
    ],
)
def test_what_was_not_measured_is_no_number(missing: str, none: set[str]) -> None:
    middle = {name: _MIDDLE[name] for name in _MIDDLE if name != missing}
    found = ratios(middle, _PEERS, 304)
    assert {name for name, value in found.items() if value is None} == none


def test_without_the_door_the_library_says_what_is_stored() -> None:
    middle = {name: _MIDDLE[name] for name in _MIDDLE if name != "door"}
    assert ratios(middle, _PEERS, 304)["target_over_source_bytes"] == 1.0


def test_the_table_has_a_line_for_each_method() -> None:
    head, row = lines(
        {"a": Effort(1.5, 0.5, 0.25, 2**20, 2**21, 2**22, 2**23)}, {"a": 3}
    )
    assert head.split()[:2] == ["s", "CPU"]
    assert row.split() == ["a", "1.50", "0.50", "0.25", "1", "2", "4", "8", "3"]


@pytest.mark.parametrize("shape", [SPARSE, LARGE, FULL], ids=lambda shape: shape.name)
def test_an_images_data_lie_apart_and_inside(shape: Shape) -> None:
    offsets = shape.offsets()
    steps = [after - before for before, after in pairwise(offsets)]
    assert len(offsets) == shape.pieces
    assert min(steps) >= shape.piece
    assert offsets[0] == 0
    assert offsets[-1] + shape.piece <= shape.size


def test_the_shapes_are_those_of_their_names() -> None:
    mib = [
        (shape.size // 2**20, shape.data // 2**20) for shape in (SPARSE, LARGE, FULL)
    ]
    assert mib == [(1024, 304), (16384, 1024), (1024, 1024)]


def test_a_guest_tells_reads_and_writes_in_microseconds() -> None:
    lines = ["PROBE begins", "LATENCY r 400 1500 w 2000", "LATENCY r 7 w 8 9"]
    assert told(lines) == Latencies([0.4, 1.5, 0.007], [2.0, 0.008, 0.009])


def test_a_line_that_broke_off_counts_for_nothing() -> None:
    assert told(["LATENCY r 400 15", "LATENCY", ""]) == Latencies([], [])


def test_a_percentile_is_of_what_was_measured() -> None:
    assert p99([float(number) for number in range(101)]) == 99.0
    assert p99([5.0, 5.0]) == 5.0


def test_as_many_of_each_are_compared_as_there_are_of_the_fewest() -> None:
    many = Latencies([float(number) for number in range(100)], [1.0, 2.0, 3.0, 4.0])
    few = Latencies([5.0, 6.0, 7.0], [8.0, 9.0])
    assert alike([many, few]) == [
        Latencies([0.0, 50.0], [1.0, 3.0]),
        Latencies([5.0, 6.0], [8.0, 9.0]),
    ]


_PATIENT = """
from benchmarks.signals import leave_in_order
leave_in_order()
try:
    print("measures", flush=True)
    input()
finally:
    print("cleans up", flush=True)
    input()
    print("is clean", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_a_benchmark_lets_it_clean_up(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PATIENT],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "measures\n"
        child.send_signal(number)
        assert child.stdout.readline() == "cleans up\n"
        child.send_signal(number)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "is clean\n"
        assert child.wait() == 128 + number


class Pair:
    """A device, packets and all: the link has the inner end."""

    def __init__(self) -> None:
        self.inner, self.outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self.inner, self.outer):
            end.setblocking(False)  # noqa: FBT003 - the module knows no keyword

    def close(self) -> None:
        self.inner.close()
        self.outer.close()


@pytest.fixture
def near() -> Iterator[Pair]:
    with closing(Pair()) as made:
        yield made


@pytest.fixture
def far() -> Iterator[Pair]:
    with closing(Pair()) as made:
        yield made


@pytest.fixture
def way(near: Pair, far: Pair) -> Direction:
    return Direction(near.inner.fileno(), far.inner.fileno())


class Watch:
    """What the link takes for the time."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(wan_link, "time", made)
    return made


def test_a_packet_arrives_after_its_bytes_and_the_delay(
    watch: Watch, near: Pair, far: Pair, way: Direction
) -> None:
    near.outer.send(bytes(1000))
    near.outer.send(bytes(500))
    way.take(seconds_per_byte=0.0001, delay=10.0)
    # The link was idle: by so much it may have been late itself.
    first = 100.0 + 0.1 - wan_link.LATE_SECONDS + 10.0
    assert way.due == pytest.approx(first)
    watch.now = first
    way.give()
    assert len(far.outer.recv(2000)) == 1000
    assert way.due == pytest.approx(first + 0.05)
    with pytest.raises(BlockingIOError):
        far.outer.recv(2000)


def test_a_packet_never_arrives_before_the_delay(
    watch: Watch, near: Pair, way: Direction
) -> None:
    near.outer.send(b"x")
    way.take(seconds_per_byte=0.0, delay=0.04)
    assert way.due == pytest.approx(watch.now + 0.04)


def test_what_waits_too_long_is_dropped(
    watch: Watch, near: Pair, far: Pair, way: Direction
) -> None:
    for _ in range(3):
        near.outer.send(bytes(1000))
    way.take(seconds_per_byte=0.001, delay=0.0)
    watch.now += 100
    way.give()
    assert len(far.outer.recv(2000)) == 1000
    with pytest.raises(BlockingIOError):
        far.outer.recv(2000)


def test_a_links_shape_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "shape"
    shape = wan_link.Shape(file)
    assert (shape.seconds_per_byte, shape.delay) == (0.0, 0.0)
    file.write_text("200 40\n")
    shape.read()
    assert shape.delay == 0.04
    assert 1 / shape.seconds_per_byte == pytest.approx(25_000_000)


def test_a_device_that_is_gone_loses_packets_only(
    watch: Watch, near: Pair, far: Pair, way: Direction
) -> None:
    far.outer.close()
    near.outer.send(b"x")
    way.take(seconds_per_byte=0.0, delay=0.0)
    watch.now += 1
    way.give()
    assert way.due is None
