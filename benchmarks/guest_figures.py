"""What a guest says of its disk, as figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of each use of the disk."""

    reads: list[float]
    writes: list[float]

    def __add__(self, other: "Latencies") -> "Latencies":
        return Latencies(self.reads + other.reads, self.writes + other.writes)

    @property
    def fewer(self) -> int:
        """Of reads or writes, how many there are at least."""
        return min(len(self.reads), len(self.writes))

    def thinned(self, number: int) -> "Latencies":
        """Return so many reads and writes of these, spread evenly."""
        return Latencies(_spread(self.reads, number), _spread(self.writes, number))


def alike(several: Iterable[Latencies]) -> list[Latencies]:
    """Return equal numbers of each: the more there are, the slower is the slowest."""
    found = list(several)
    number = min(each.fewer for each in found)
    return [each.thinned(number) for each in found]


def _spread(values: Sequence[float], number: int) -> list[float]:
    return [values[at * len(values) // number] for at in range(number)]


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
