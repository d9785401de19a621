"""Copies of an image from one Ceph cluster to another: Glance's, the tools', ours.

On the lab of kind ceph. In each round every method copies the same image once, in
turn, beginning with another method each time; nothing of a copy is left before the
next. Medians over the rounds, ratios within the run.

    python -m benchmarks.cold [--rounds 3] [--shape sparse|large|full …]
"""

import argparse
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rbd

from benchmarks import cold_peers as peers
from benchmarks.cold_clusters import POOL, Cluster, Source
from benchmarks.cold_figures import Effort, Peers, lines, medians, ratios, turned
from benchmarks.cold_glances import CENTRAL, EDGE, CopyingGlance
from benchmarks.cold_meter import Meter, Method, is_wanted
from benchmarks.cold_ours import ours
from benchmarks.cold_shapes import FULL, LARGE, SPARSE, Shape
from benchmarks.signals import leave_in_order
from cowpath.core.transfer import Verify
from lab import verbs
from lab.files import alone
from lab.glance import DOOR
from lab.layout import Layout, standard
from lab.memory import is_in_memory

LAB = standard("ceph")
_SHAPES = {"sparse": SPARSE, "large": LARGE, "full": FULL}
_GLANCE, _THIN = "Glance copy-image", "the same, thin provisioning"
_DEEP_COPY, _HASHING = "librbd deep_copy", "SHA-512 alone"
_INSIDE = "Cowpath in Glance, "
_OURS = "Cowpath, verify="
_WANTED = Peers(
    glance=_GLANCE,
    deep_copy=_DEEP_COPY,
    hashing=_HASHING,
    door=f"{_INSIDE}transfer",
    library=f"{_OURS}transfer",
    verified=f"{_OURS}image",
)
_IMPORT = "rbd export | import"
# What takes longer than all else together, by shape: left out, or run in the first
# round only, unless --thorough. Glance takes five minutes for 16 GiB; hashing these
# takes as long within Glance as without; a full image has nothing to be thin about.
_LEFT_OUT = {LARGE: {_GLANCE, _THIN, f"{_INSIDE}image"}, FULL: {_THIN}}
_ONCE = {
    SPARSE: {_THIN},
    FULL: {_GLANCE},
    LARGE: {_IMPORT, _HASHING, f"{_OURS}image"},
}

Samples = list[tuple[str, Effort]]


@contextmanager
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    """Give the lab's two clusters; no run has left anything before and afterwards.

    One run at a time: others wait.
    """
    with (
        alone(LAB.run / "benchmark.lock"),
        opened(LAB) as pair,
        pair[1].trimming_at_once(),
    ):
        verbs.clear_benches(LAB)
        for each in pair:
            each.sweep()
            each.settle()
        try:
            yield pair
        finally:
            for each in pair:
                each.sweep()


@contextmanager
def opened(lab: Layout) -> Iterator[tuple[Cluster, Cluster]]:
    """Give the two clusters of a lab."""
    told = json.loads(lab.manifest.read_text())["clusters"]
    pair = Cluster(CENTRAL, told[CENTRAL]), Cluster(EDGE, told[EDGE])
    try:
        yield pair
    finally:
        for each in pair:
            each.close()


def glances(stack: ExitStack, parts: Sequence[str] | None) -> dict[str, CopyingGlance]:
    """Start a Glance for each method that is one and is wanted."""
    thin = [f"{store}.rbd_thin_provisioning=True" for store in (CENTRAL, EDGE)]
    known = {
        _GLANCE: CopyingGlance(LAB, "stock"),
        _THIN: CopyingGlance(LAB, "thin", thin),
        **{
            f"{_INSIDE}{verify}": CopyingGlance(
                LAB, f"door-{verify}", [DOOR, f"cowpath.verify={verify}"]
            )
            for verify in (Verify.IMAGE, Verify.TRANSFER)
        },
    }
    started = {name: known[name] for name in known if is_wanted(name, parts)}
    for glance in started.values():
        stack.callback(glance.remove)
        glance.start()
    return started


def methods(
    asked: Mapping[str, CopyingGlance], pair: tuple[Cluster, Cluster], stack: ExitStack
) -> list[Method]:
    """Return all that is compared."""
    deep_copy, close = peers.deep_copy(*pair)
    stack.callback(close)
    library = stack.enter_context(ours(*pair))
    return [
        *(
            Method(name, glance.copy, glance.pids, glance.forget_copy)
            for name, glance in asked.items()
        ),
        Method(_IMPORT, peers.export_import(*pair)),
        Method("rbd export-diff | import-diff", peers.export_diff(*pair)),
        Method(_DEEP_COPY, deep_copy),
        Method(_HASHING, peers.hashing),
        *(Method(f"{_OURS}{verify}", library.by(verify)) for verify in Verify),
    ]


def left_out(shape: Shape, *, thorough: bool) -> set[str]:
    """Return the methods that take too long with an image."""
    return _LEFT_OUT.get(shape, set()) if not thorough else set()


def rounds(
    shape: Shape, every: Sequence[Method], number: int, *, thorough: bool
) -> Iterator[list[Method]]:
    """Yield what is run in each round, and in which order."""
    skipped = left_out(shape, thorough=thorough)
    once = _ONCE.get(shape, set()) if not thorough else set()
    for each in range(number):
        left = skipped | once if each else skipped
        yield turned([method for method in every if method.name not in left], each)


def run_shape(
    sources: Mapping[str, Source], order: Iterator[list[Method]], meter: Meter
) -> Samples:
    """Return what each method took in each round."""
    samples: Samples = []
    for number, several in enumerate(order):
        for method in several:
            effort = meter.measure(method, sources.get(method.name, sources[""]))
            samples.append((method.name, effort))
            load = os.getloadavg()[0]
            say(f"{number + 1} {method.name:30} {effort.seconds:7.2f} s, {load:.1f}")
    return samples


def say(text: str) -> None:
    """Tell how it goes on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def show(
    source: Source, samples: Samples, every: Sequence[Method]
) -> dict[str, float | None]:
    """Print a shape's table; return its ratios."""
    middle = medians(samples)
    counts = Counter(name for name, _ in samples)
    print(f"{source.shape.name}, {source.allocated / 2**20:.0f} MiB allocated:")
    order = [name for name in counts if name in middle]
    print("\n".join(lines({name: middle[name] for name in order}, counts)))
    left = [method.name for method in every if method.name not in counts]
    if left:
        print(f"  not run, for it takes long (--thorough): {', '.join(left)}")
    return ratios(middle, _WANTED, source.allocated)


def measure(chosen: argparse.Namespace) -> dict[str, float | None]:
    """Measure every shape; return the ratios of the first."""
    found: list[dict[str, float | None]] = []
    with ExitStack() as stack:
        pair = stack.enter_context(clusters())
        asked = glances(stack, chosen.method)
        every = [
            method
            for method in methods(asked, pair, stack)
            if is_wanted(method.name, chosen.method)
        ]
        meter = Meter(*pair)
        for name in chosen.shape:
            shape = _SHAPES[name]
            order = rounds(shape, every, chosen.rounds, thorough=chosen.thorough)
            skipped = left_out(shape, thorough=chosen.thorough)
            here = {each: asked[each] for each in asked if each not in skipped}
            with known(shape, pair[0], here) as sources:
                say(f"{shape.name}: round, method, seconds, load average")
                samples = run_shape(sources, order, meter)
                found.append(show(sources[""], samples, every))
    return found[0]


@contextmanager
def known(
    shape: Shape, central: Cluster, asked: Mapping[str, CopyingGlance]
) -> Iterator[dict[str, Source]]:
    """Give an image by the method that copies it; under no name that of all others.

    Each Glance has one of its own: Cowpath's looks after an image for a minute when it
    was copied, and what others copy under that name it would take for its own.
    """
    with ExitStack() as made:
        sources = {"": central.make(shape)}
        made.callback(central.drop, POOL, sources[""].image)
        for name, glance in asked.items():
            sources[name] = central.twin(sources[""])
            made.callback(central.drop, POOL, sources[name].image)
            glance.know(sources[name], central.url(sources[name].image))
        yield sources


def machine(home: Path = LAB.home) -> str:
    """Return what the figures were taken on.

    Args:
        home: The folder of the lab.
    """
    where = "in memory" if is_in_memory(home) else "on its disk"
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, librbd {rbd.RBD().version()}, two clusters of "
        f"one OSD each on this machine, {where}; load {os.getloadavg()[0]:.1f} at the "
        f"end"
    )


def main() -> int:
    """Measure, print, and end with one JSON line if JSON=1."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", nargs="+", choices=_SHAPES, default=list(_SHAPES))
    parser.add_argument(
        "--thorough", action="store_true", help="leave nothing out; an hour"
    )
    parser.add_argument("--method", action="append", help="those with this in the name")
    found = measure(parser.parse_args())
    print(machine())
    if os.environ.get("JSON") == "1":
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
