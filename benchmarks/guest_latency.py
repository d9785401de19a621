"""What a guest's disk feels of a copy into the cluster where it lies.

On the lab of kind ceph. A guest of QEMU at the edge reads and writes 4 KiB of its RBD
disk past all caches, one after the other, 100 times a second or as often as it can.
Meanwhile nothing is copied there, or the same image by one way after the other, again
and again for `--seconds` at least. Told are the slowest of a hundred uses (p99), reads
and writes apart, and how many there were in a second.

    python -m benchmarks.guest_latency [--rounds 2] [--seconds 15]
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.cold import LAB, clusters, machine, say
from benchmarks.cold_clusters import Cluster, Source
from benchmarks.cold_figures import MIB, turned
from benchmarks.cold_glances import CopyingGlance
from benchmarks.cold_ours import ours
from benchmarks.cold_peers import deep_copy, export_import
from benchmarks.cold_shapes import FULL
from benchmarks.guest import Probe, probe
from benchmarks.guest_figures import Latencies, p99
from benchmarks.signals import leave_in_order
from cowpath.core.transfer import Verify
from lab.waiting import wait_until

_NOTHING = "no copy"
_LIMITS_MIB = (100, 50, 25)


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
    copied_bytes: int
    seconds: float

    def __add__(self, other: "Felt") -> "Felt":
        return Felt(
            self.latencies + other.latencies,
            self.copied_bytes + other.copied_bytes,
            self.seconds + other.seconds,
        )


def loads(
    pair: tuple[Cluster, Cluster], source: Source, stack: ExitStack
) -> Iterator[Load]:
    """Yield what is compared."""
    target = pair[1]

    def drop(what: Source) -> None:
        target.drop(what.image)

    yield Load(_NOTHING, lambda _: None, lambda _: None)
    glance = CopyingGlance(LAB, "guests")
    stack.callback(glance.remove)
    glance.start()
    glance.know(source, pair[0].url(source.image))
    yield Load("Glance copy-image", glance.copy, glance.forget_copy)
    yield Load("rbd export | import", export_import(*pair), drop)
    bare, close = deep_copy(*pair)
    stack.callback(close)
    yield Load("librbd deep_copy", bare, drop)
    library = stack.enter_context(ours(*pair))
    yield Load("Cowpath, verify=transfer", library.by(Verify.TRANSFER), drop)
    yield Load("Cowpath, verify=image", library.by(Verify.IMAGE), drop)
    for limit in _LIMITS_MIB:
        limited = library.by(Verify.TRANSFER, limit * MIB)
        yield Load(f"Cowpath, {limit} MiB/s at most", limited, drop)


def feel(load: Load, source: Source, guest: Probe, seconds: float) -> Felt:
    """Copy for so long, and return what the guest felt of it.

    What it felt while a copy was removed again is left out.
    """
    felt, copied, copying = Latencies([], []), 0, 0.0
    while copying < seconds:
        # What it is about to say began before: a line is left out.
        guest.wait_for_lines(guest.mark() + 1)
        mark, begun = guest.mark(), time.perf_counter()
        load.copy(source)
        if load.name == _NOTHING:
            wait_until(partial(_is_over, begun + seconds), within_seconds=2 * seconds)
        took = time.perf_counter() - begun
        felt, copying = felt + guest.since(mark), copying + took
        copied += 0 if load.name == _NOTHING else source.allocated
        load.forget(source)
    return Felt(felt, copied, copying)


def _is_over(end: float) -> bool:
    return time.perf_counter() > end


def measure(chosen: argparse.Namespace) -> dict[str, Felt]:
    """Return what was felt of each load, all rounds together."""
    felt: dict[str, list[Felt]] = defaultdict(list)
    with ExitStack() as stack:
        pair = stack.enter_context(clusters())
        source = pair[0].make(FULL)
        stack.callback(pair[0].drop, source.image)
        every = list(loads(pair, source, stack))
        guest = stack.enter_context(probe(pair[1], LAB))
        for number in range(chosen.rounds):
            for load in turned(every, number):
                now = feel(load, source, guest, chosen.seconds)
                felt[load.name].append(now)
                say(f"{_line(load.name, now)}, load {os.getloadavg()[0]:.1f}")
    return {name: sum(several[1:], several[0]) for name, several in felt.items()}


def _line(name: str, felt: Felt) -> str:
    reads, writes = felt.latencies.reads, felt.latencies.writes
    rate = felt.copied_bytes / felt.seconds / MIB
    uses = (len(reads) + len(writes)) / felt.seconds
    return (
        f"  {name:28}{p99(reads):9.1f}{max(reads):9.1f}{p99(writes):9.1f}"
        f"{max(writes):9.1f}{uses:9.0f}{rate:9.0f}"
    )


def main() -> int:
    """Measure, print, and end with one JSON line if JSON=1."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15)
    felt = measure(parser.parse_args())
    heads = ("read p99", "max", "write p99", "max", "uses/s", "MiB/s")
    print(f"  {'milliseconds':28}" + "".join(f"{head:>9}" for head in heads))
    for name, each in felt.items():
        print(_line(name, each))
    print(machine())
    if os.environ.get("JSON") == "1":
        told = {
            name: {
                "read_p99_ms": round(p99(each.latencies.reads), 2),
                "write_p99_ms": round(p99(each.latencies.writes), 2),
                "copied_mib_per_s": round(each.copied_bytes / each.seconds / MIB, 1),
            }
            for name, each in felt.items()
        }
        print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
