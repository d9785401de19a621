"""What a guest's disk feels of a copy into the cluster where it lies.

On the lab of kind ceph. A guest of QEMU at the edge reads and writes 4 KiB of its RBD
disk past all caches, one after the other, 100 times a second or as often as it can.
Meanwhile nothing is copied there, or the same image by one way after the other, again
and again until the guest has used its disk `--uses` times. Only uses during a copy
count. Told are the slowest of a hundred (p99), reads and writes apart, of equal numbers
for every way, and how many uses there were in a second.

    python -m benchmarks.guest_latency [--rounds 2] [--uses 400] [--thorough]
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.cold import LAB, clusters, machine, say
from benchmarks.cold_clusters import POOL, Cluster, Source
from benchmarks.cold_figures import MIB, turned
from benchmarks.cold_glances import CopyingGlance
from benchmarks.cold_ours import ours
from benchmarks.cold_peers import deep_copy, export_import
from benchmarks.cold_shapes import HALF
from benchmarks.guest import Probe, probe
from benchmarks.guest_figures import Latencies, alike, p99
from benchmarks.signals import leave_in_order
from cowpath.core.transfer import Verify

_NOTHING, _GLANCE, _IMPORT = "no copy", "Glance copy-image", "rbd export | import"
_LIMITS_MIB = (100, 50, 25)
# Left out unless --thorough: they tell little beside the others.
_LEFT_OUT = {_IMPORT, "Cowpath, 50 MiB/s at most"}
# A guest that uses its disk less often than this stands still, more or less.
_LEAST_USES_PER_SECOND = 10
_HEADS = ("read p99", "max", "write p99", "max", "of each", "uses/s", "MiB/s", "copies")


@dataclass(frozen=True, slots=True)
class Load:
    """Something that goes on beside the guest."""

    name: str
    copy: Callable[[Source], None]
    forget: Callable[[Source], None]


@dataclass(frozen=True, slots=True)
class Felt:
    """What a guest felt of a load, and how much was copied meanwhile."""

    latencies: Latencies
    uses: int = 0
    copies: int = 0
    copied_bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Felt") -> "Felt":
        return Felt(
            self.latencies + other.latencies,
            self.uses + other.uses,
            self.copies + other.copies,
            self.copied_bytes + other.copied_bytes,
            self.seconds + other.seconds,
        )


def loads(
    pair: tuple[Cluster, Cluster], source: Source, stack: ExitStack
) -> Iterator[Load]:
    """Yield what is compared."""
    target = pair[1]

    def drop(what: Source) -> None:
        target.drop(POOL, what.image)

    yield Load(_NOTHING, lambda _: None, lambda _: None)
    glance = CopyingGlance(LAB, "guests")
    stack.callback(glance.remove)
    glance.start()
    glance.know(source, pair[0].url(source.image))
    yield Load(_GLANCE, glance.copy, glance.forget_copy)
    yield Load(_IMPORT, export_import(*pair), drop)
    bare, close = deep_copy(*pair)
    stack.callback(close)
    yield Load("librbd deep_copy", bare, drop)
    library = stack.enter_context(ours(*pair))
    yield Load("Cowpath, verify=transfer", library.by(Verify.TRANSFER), drop)
    yield Load("Cowpath, verify=image", library.by(Verify.IMAGE), drop)
    for limit in _LIMITS_MIB:
        limited = library.by(Verify.TRANSFER, limit * MIB)
        yield Load(f"Cowpath, {limit} MiB/s at most", limited, drop)


def feel(
    load: Load, source: Source, guest: Probe, target: Cluster, uses: int
) -> Iterator[Felt]:
    """Copy until the guest has used its disk so often; yield what it felt each time.

    What it felt while a copy was removed again is left out.
    """
    seen, seconds = 0, 0.0
    while seen < uses and seconds < uses / _LEAST_USES_PER_SECOND:
        mark, begun = guest.mark(), time.perf_counter()
        load.copy(source)
        if load.name == _NOTHING:
            guest.wait_for_uses(mark, uses)
        took = time.perf_counter() - begun
        felt = guest.since(mark)
        load.forget(source)
        target.settle()
        count = len(felt.reads) + len(felt.writes)
        seen, seconds = seen + count, seconds + took
        copied = (0, 0) if load.name == _NOTHING else (1, source.allocated)
        yield Felt(felt, count, *copied, took)


def measure(chosen: argparse.Namespace) -> dict[str, Felt]:
    """Return what was felt of each load, all rounds together."""
    felt: dict[str, Felt] = defaultdict(partial(Felt, Latencies([], [])))
    with ExitStack() as stack:
        pair = stack.enter_context(clusters())
        source = pair[0].make(HALF)
        stack.callback(pair[0].drop, POOL, source.image)
        every = [
            load
            for load in loads(pair, source, stack)
            if chosen.thorough or load.name not in _LEFT_OUT
        ]
        guest = stack.enter_context(probe(pair[1], LAB))
        for number in range(chosen.rounds):
            for load in turned(every, number):
                several = feel(load, source, guest, pair[1], chosen.uses)
                now = sum(several, Felt(Latencies([], [])))
                felt[load.name] += now
                say(f"{_line(load.name, now)}, load {os.getloadavg()[0]:.1f}")
    return felt


def compared(felt: Mapping[str, Felt]) -> dict[str, Felt]:
    """Return the same with equal numbers of reads and writes for all."""
    thinned = alike(each.latencies for each in felt.values())
    return {
        name: replace(each, latencies=latencies)
        for (name, each), latencies in zip(felt.items(), thinned, strict=True)
    }


def _line(name: str, felt: Felt) -> str:
    reads, writes = felt.latencies.reads, felt.latencies.writes
    rate = felt.copied_bytes / felt.seconds / MIB
    return (
        f"  {name:28}{p99(reads):9.1f}{max(reads):9.1f}{p99(writes):10.1f}"
        f"{max(writes):9.1f}{felt.latencies.fewer:9}{felt.uses / felt.seconds:9.0f}"
        f"{rate:9.0f}{felt.copies:9}"
    )


def _figures(felt: Felt) -> dict[str, float]:
    return {
        "read_p99_ms": round(p99(felt.latencies.reads), 2),
        "write_p99_ms": round(p99(felt.latencies.writes), 2),
        "samples_of_each": felt.latencies.fewer,
        "uses_per_s": round(felt.uses / felt.seconds, 1),
        "copied_mib_per_s": round(felt.copied_bytes / felt.seconds / MIB, 1),
    }


def main() -> int:
    """Measure, print, and end with one JSON line if JSON=1."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--uses", type=int, default=400, help="in a round, at least")
    parser.add_argument("--thorough", action="store_true", help="leave no way out")
    felt = compared(measure(parser.parse_args()))
    heads = "".join(f"{head:>{10 if 'w' in head else 9}}" for head in _HEADS)
    print(f"  {'milliseconds':28}{heads}")
    for name, each in felt.items():
        print(_line(name, each))
    print(machine())
    if os.environ.get("JSON") == "1":
        print(json.dumps({name: _figures(each) for name, each in felt.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
