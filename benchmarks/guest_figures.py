"""What a guest says of its disk, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of each use of the disk."""

    reads: list[float]
    writes: list[float]

    def __add__(self, other: "Latencies") -> "Latencies":
        return Latencies(self.reads + other.reads, self.writes + other.writes)


def told(lines: Sequence[str]) -> Latencies:
    """Return what a guest has said on its console; a broken line counts for nothing."""
    reads: list[float] = []
    writes: list[float] = []
    for line in lines:
        words = line.split()
        if words[:2] == ["LATENCY", "r"] and "w" in words:
            middle = words.index("w")
            reads += [int(word) / 1000 for word in words[2:middle]]
            writes += [int(word) / 1000 for word in words[middle + 1 :]]
    return Latencies(reads, writes)


def p99(several: Sequence[float]) -> float:
    """Return what 99 of 100 are at most."""
    return quantiles(several, n=100, method="inclusive")[-1]
