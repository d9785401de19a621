"""Copies of an image from one Ceph cluster to another over a long and narrow link.

On the lab of kind wan, which this makes and removes: cluster `edge` is behind the
link, cluster `central` and whoever copies are on this side. As root, in a network
namespace of its own:

    unshare --net python -m benchmarks.wan [--rounds 3] [--mbit 200] [--rtt-ms 80]

The least that a copy can take is its data's bytes over the link's rate: `share` is that
by the seconds that it took.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

from benchmarks.cold import machine, opened, say
from benchmarks.cold_clusters import POOL, Cluster, Source
from benchmarks.cold_figures import MIB, Effort, medians, turned
from benchmarks.cold_glances import CENTRAL, EDGE, CopyingGlance
from benchmarks.cold_meter import Meter, Method, is_wanted
from benchmarks.cold_ours import ours
from benchmarks.cold_peers import deep_copy, export_diff, export_import
from benchmarks.cold_shapes import FULL, SPARSE, TWICE, Shape
from benchmarks.signals import leave_in_order
from cowpath.core.transfer import Verify
from lab import verbs
from lab.layout import standard
from lab.wan import Link, WanLab

_GLANCE, _THIN = "Glance copy-image", "the same, thin provisioning"
_DEEP_COPY = "librbd deep_copy"
_OURS = {verify: f"Cowpath, verify={verify}" for verify in Verify}
_SHAPES = {"sparse": SPARSE, "full": FULL, "twice": TWICE}
# Of what shows how the share grows with the data, a minute or two each.
_LARGER = {_DEEP_COPY, _OURS[Verify.IMAGE], _OURS[Verify.TRANSFER]}
# A minute each; of the tools, no proof and no snapshot.
_ONCE = {_GLANCE, _THIN, "rbd export | import", "rbd export-diff | import-diff"}


@contextmanager
def lab() -> Iterator[WanLab]:
    """Make the lab, and remove it in the end."""
    made = WanLab()
    verbs.wipe(made)
    try:
        verbs.up(made, say)
        yield made
    finally:
        verbs.wipe(made)
        made.end()


def methods(
    made: WanLab,
    pair: tuple[Cluster, Cluster],
    source: Source,
    stack: ExitStack,
    parts: Sequence[str] | None,
) -> Iterator[Method]:
    """Yield all that is compared and wanted."""
    shape = source.shape
    for method in (*tools(pair, stack), *ours_of(pair, stack)):
        if is_wanted(method.name, parts) and is_run(shape, method.name):
            yield method
    thin = [f"{store}.rbd_thin_provisioning=True" for store in (CENTRAL, EDGE)]
    for name, settings in ((_GLANCE, ()), (_THIN, thin)):
        if is_wanted(name, parts) and is_run(shape, name):
            glance = CopyingGlance(made.layout, f"{len(settings)}", settings)
            stack.callback(glance.remove)
            glance.start()
            glance.know(source, pair[0].url(source.image))
            yield Method(name, glance.copy, glance.pids, glance.forget_copy)


def is_run(shape: Shape, method: str) -> bool:
    """Tell whether a method copies images of a shape, if it is wanted."""
    return shape == SPARSE or method in _LARGER


def tools(pair: tuple[Cluster, Cluster], stack: ExitStack) -> Iterator[Method]:
    """Yield what Ceph itself brings."""
    yield Method("rbd export | import", export_import(*pair))
    yield Method("rbd export-diff | import-diff", export_diff(*pair))
    copy, close = deep_copy(*pair)
    stack.callback(close)
    yield Method(_DEEP_COPY, copy)


def ours_of(pair: tuple[Cluster, Cluster], stack: ExitStack) -> Iterator[Method]:
    """Yield our own copies, without Glance."""
    library = stack.enter_context(ours(*pair))
    for verify in Verify:
        yield Method(_OURS[verify], library.by(verify))


class Report:
    """What each method took, and what it sent over the link."""

    def __init__(self, link: Link, least_seconds: float) -> None:
        self._link, self._least = link, least_seconds
        self._samples: list[tuple[str, Effort]] = []
        self._carried: dict[str, list[int]] = defaultdict(list)

    def add(self, meter: Meter, method: Method, source: Source) -> None:
        """Measure a copy."""
        carried: list[int] = []

        def copy(what: Source) -> None:
            before = sum(self._link.carried())
            method.copy(what)
            carried.append(sum(self._link.carried()) - before)

        counted = Method(method.name, copy, method.pids, method.forget)
        effort = meter.measure(counted, source)
        self._samples.append((method.name, effort))
        self._carried[method.name] += carried
        share, load = self._least / effort.seconds, os.getloadavg()[0]
        say(f"{method.name:30} {effort.seconds:7.2f} s, {share:.3f}, load {load:.1f}")

    def shares(self) -> dict[str, float]:
        """Return which share of the link each method used, by its median."""
        middle = medians(self._samples)
        return {name: self._least / each.seconds for name, each in middle.items()}

    def lines(self) -> Iterator[str]:
        """Yield a table, a line for each method."""
        middle, shares = medians(self._samples), self.shares()
        counts = Counter(name for name, _ in self._samples)
        yield (
            f"  {'':30}{'s':>9}{'share':>9}{'CPU s':>9}{'wire MiB':>11}{'grew MiB':>11}"
            f"{'runs':>7}"
        )
        for name, effort in middle.items():
            wire = median(self._carried[name]) / MIB
            memory = effort.memory_bytes / MIB
            yield (
                f"  {name:30}{effort.seconds:9.2f}{shares[name]:9.3f}"
                f"{effort.cpu_seconds:9.2f}{wire:11.0f}{memory:11.0f}"
                f"{counts[name]:7}"
            )


def rounds(every: Sequence[Method], number: int) -> Iterator[Method]:
    """Yield the methods of all rounds in turn; the slowest are in the first only."""
    for each in range(number):
        several = [method for method in every if not each or method.name not in _ONCE]
        yield from turned(several, each)


def measure(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; return each method's share of the link, by shape."""
    found: dict[str, dict[str, float]] = {}
    with lab() as made, opened(made.layout) as pair:
        for name, shape in _SHAPES.items():
            if name in chosen.shape:
                source = pair[0].make(shape)
                found[name] = measure_shape(chosen, made, pair, source)
                pair[0].drop(POOL, source.image)
    return found


def measure_shape(
    chosen: argparse.Namespace,
    made: WanLab,
    pair: tuple[Cluster, Cluster],
    source: Source,
) -> dict[str, float]:
    """Measure and print one shape; return each method's share of the link."""
    number = chosen.rounds if source.shape == SPARSE else 1
    least = source.allocated * 8e-6 / chosen.mbit
    report, meter = Report(made.link, least), Meter(*pair)
    with ExitStack() as stack:
        every = list(methods(made, pair, source, stack, chosen.method))
        made.link.shape(chosen.mbit, chosen.rtt_ms)
        stack.callback(made.link.shape, 0, 0)
        for method in rounds(every, number):
            report.add(meter, method, source)
    print(
        f"{source.shape.name} over {chosen.mbit:g} Mbit/s and {chosen.rtt_ms:g} ms "
        f"there and back: {least:.2f} s at least"
    )
    print("\n".join(report.lines()))
    return report.shares()


def main() -> int:
    """Measure, print, and end with one JSON line if JSON=1."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mbit", type=float, default=200)
    parser.add_argument("--rtt-ms", type=float, default=80)
    parser.add_argument("--method", action="append", help="those with this in the name")
    parser.add_argument("--shape", nargs="+", choices=_SHAPES, default=list(_SHAPES))
    shares = measure(parser.parse_args())
    print(machine(standard("wan").home))
    if os.environ.get("JSON") == "1":
        print(
            json.dumps(
                {
                    shape: {name: round(share, 3) for name, share in several.items()}
                    for shape, several in shares.items()
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
