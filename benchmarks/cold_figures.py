"""The arithmetic of the cold benchmarks: samples, medians, ratios, tables."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import TypeVar

MIB = 1024**2

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Effort:
    """What one run of one method took.

    Attributes:
        seconds: From the call, or the request, to its end.
        cpu_seconds: Of the processes that move the bytes, children included.
        osd_seconds: CPU of both clusters' OSDs.
        read_bytes: What the source's OSD sent.
        sent_bytes: What the target's OSD was sent.
        stored_bytes: What is allocated at the target then.
        memory_bytes: By so much the processes that move the bytes grew meanwhile; 0
            where they are `rbd`'s own.
    """

    seconds: float
    cpu_seconds: float = 0.0
    osd_seconds: float = 0.0
    read_bytes: int = 0
    sent_bytes: int = 0
    stored_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Peers:
    """Which methods the ratios are of."""

    glance: str
    deep_copy: str
    hashing: str
    door: str
    library: str
    verified: str


def medians(samples: Iterable[tuple[str, Effort]]) -> dict[str, Effort]:
    """Return each method's median of everything that was measured."""
    efforts: dict[str, list[Effort]] = defaultdict(list)
    for method, effort in samples:
        efforts[method].append(effort)
    return {method: _middle(several) for method, several in efforts.items()}


def _middle(several: Sequence[Effort]) -> Effort:
    names = [field.name for field in fields(Effort)]
    return Effort(
        **{name: median(getattr(effort, name) for effort in several) for name in names}
    )


def turned(items: Sequence[_Item], number: int) -> list[_Item]:
    """Return the items, beginning with another one in every round."""
    first = number % len(items) if items else 0
    return [*items[first:], *items[:first]]


def ratios(
    middle: Mapping[str, Effort], peers: Peers, source_bytes: int
) -> dict[str, float | None]:
    """Return the figures that are wanted; None for what was not measured.

    Args:
        middle: The medians of each method.
        peers: What is compared with what.
        source_bytes: What the source has allocated.
    """
    seconds = {name: effort.seconds for name, effort in middle.items()}
    floor = None
    if {peers.deep_copy, peers.hashing} <= seconds.keys():
        floor = max(seconds[peers.deep_copy], seconds[peers.hashing])
    ours = middle.get(peers.door) or middle.get(peers.library)
    stored = ours.stored_bytes if ours else None
    library, verified = seconds.get(peers.library), seconds.get(peers.verified)
    return {
        "glance_over_cowpath": _over(
            seconds.get(peers.glance), seconds.get(peers.door)
        ),
        "cowpath_over_deep_copy": _over(library, seconds.get(peers.deep_copy)),
        "cowpath_over_floor": _over(verified, floor),
        "target_over_source_bytes": _over(stored, source_bytes),
    }


def _over(part: float | None, whole: float | None) -> float | None:
    return round(part / whole, 3) if part is not None and whole else None


def lines(middle: Mapping[str, Effort], counts: Mapping[str, int]) -> list[str]:
    """Return a table, a line for each method."""
    heads = (
        "s",
        "CPU s",
        "OSD s",
        "read MiB",
        "sent MiB",
        "stored MiB",
        "grew MiB",
        "runs",
    )
    head = f"  {'':28}" + "".join(f"{name:>11}" for name in heads)
    return [head, *(_line(name, middle[name], counts[name]) for name in middle)]


def _line(name: str, effort: Effort, count: int) -> str:
    seconds = (effort.seconds, effort.cpu_seconds, effort.osd_seconds)
    sizes = (
        effort.read_bytes,
        effort.sent_bytes,
        effort.stored_bytes,
        effort.memory_bytes,
    )
    return (
        f"  {name:28}"
        + "".join(f"{value:11.2f}" for value in seconds)
        + "".join(f"{size / MIB:11.0f}" for size in sizes)
        + f"{count:11}"
    )
