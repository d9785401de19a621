"""What a copy costs besides seconds: CPU, and bytes on both clusters' OSDs."""

import ctypes
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cold_clusters import POOL, Cluster, Source, cpu_of
from benchmarks.cold_figures import Effort

_FORGET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to copy an image from the central cluster to the edge.

    Attributes:
        name: What tables call it.
        copy: Does it.
        pids: Processes beside this one that do it.
        forget: Has whoever knows of the copy remove it.
    """

    name: str
    copy: Callable[[Source], None]
    pids: Callable[[], list[int]] = list
    forget: Callable[[Source], None] | None = None


class Meter:
    """Measures methods between two clusters."""

    def __init__(self, source: Cluster, target: Cluster) -> None:
        self._source, self._target = source, target
        self._osds = [*source.osd_pids(), *target.osd_pids()]

    def measure(self, method: Method, what: Source) -> Effort:
        """Return what a copy takes; there is no copy before it and after it."""
        pids = method.pids()
        cpu, osd = _own_cpu() + cpu_of(pids), cpu_of(self._osds)
        read, sent = self._source.traffic()[0], self._target.traffic()[1]
        memory = Memory([os.getpid(), *pids])
        begun = time.perf_counter()
        method.copy(what)
        seconds, grew = time.perf_counter() - begun, memory.growth()
        effort = Effort(
            seconds=seconds,
            cpu_seconds=_own_cpu() + cpu_of(pids) - cpu,
            osd_seconds=cpu_of(self._osds) - osd,
            read_bytes=self._source.traffic()[0] - read,
            sent_bytes=self._target.traffic()[1] - sent,
            stored_bytes=self._target.allocated(what.image),
            memory_bytes=grew,
        )
        if method.forget:
            method.forget(what)
        self._target.drop(POOL, what.image)
        self._target.settle()
        return effort


class Memory:
    """How much processes grow."""

    def __init__(self, pids: Sequence[int]) -> None:
        """Begin to watch them.

        Args:
            pids: This process, which gives back what it does not use first, and others.
        """
        ctypes.CDLL(None).malloc_trim(0)
        self._pids = pids
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK)
        self._before = [_status(pid, "VmRSS") for pid in pids]

    def growth(self) -> int:
        """Return by how many bytes they were larger since, at most."""
        peaks = [_status(pid, "VmHWM") for pid in self._pids]
        pairs = zip(peaks, self._before, strict=True)
        return sum(max(0, peak - before) for peak, before in pairs)


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def _own_cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in (own, children))


def is_wanted(name: str, parts: Sequence[str] | None) -> bool:
    """Tell whether a method's name has one of these parts in it; None: all have."""
    return parts is None or any(part in name for part in parts)
