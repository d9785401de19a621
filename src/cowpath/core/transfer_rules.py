"""How an image's bytes are moved: decisions free of I/O."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import merge

from cowpath.core.model import Bytes, Image, Seconds, StoreName
from cowpath.core.transfer import Extent, Terms, Verify

ZERO_RUN = Bytes(64 * 1024)
"""A run of zeros of this size, and so aligned, is not written: a hole reads the same.

Also the smallest piece that a filesystem or an OSD is worth being asked to leave out.
"""

_ZEROS = bytes(ZERO_RUN)
_STRICT = (Verify.IMAGE, Verify.TRANSFER, Verify.NONE)
_MEASURED: Seconds = 30
"""How far back the rate of arrival is measured."""
_CREDIT: Seconds = 1
"""Of a link that was left idle, this much is made up for; more would be a burst."""


def source_order(
    image: Image,
    stores: Collection[StoreName],
    targets: Collection[StoreName],
    costs: Mapping[StoreName, float],
) -> tuple[StoreName, ...]:
    """Return the stores that have `image` and can be read here, the cheapest first.

    A store of which no cost is known costs nothing; among equals the name decides, so
    that every process chooses the same.
    """
    usable = (image.stores & set(stores)) - set(targets)
    return tuple(sorted(usable, key=lambda name: (costs.get(name, 0), name)))


def combined(terms: Collection[Terms]) -> Terms:
    """Return terms that keep to each of `terms`: a source is read once for all.

    The hash is made where one of them wants it. A request is never more than a second
    of the bandwidth, so that no second sees a burst.
    """
    bounds = [each.bandwidth for each in terms if each.bandwidth is not None]
    bandwidth = min(bounds, default=None)
    chunk = min(each.chunk for each in terms)
    if bandwidth is not None and bandwidth < chunk:
        chunk = power_of_two(bandwidth)  # what lies at such offsets is quick to write
    strictest = min((each.verify for each in terms), key=_STRICT.index)
    lanes = min(each.lanes for each in terms)
    return Terms(strictest, bandwidth, lanes, chunk)


def power_of_two(most: Bytes) -> Bytes:
    """Return the largest one that is not over `most`."""
    return Bytes(1 << (most.bit_length() - 1))


def split(extents: Iterable[Extent], most: Bytes) -> Iterator[Extent]:
    """Yield the same bytes in pieces of at most `most`."""
    for extent in extents:
        for offset in range(extent.offset, extent.end, most):
            length = min(most, extent.end - offset)
            yield Extent(Bytes(offset), Bytes(length))


def outside(extents: Iterable[Extent], known: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the parts of `extents` that no extent of `known` covers; both in order."""
    covers = iter(known)
    cover = next(covers, None)
    for extent in extents:
        at = extent.offset
        while cover is not None and cover.offset < extent.end:
            if cover.offset > at:
                yield _between(at, cover.offset)
            at = max(at, cover.end)
            if cover.end > extent.end:
                break  # it may cover some of the next extent too
            cover = next(covers, None)
        if at < extent.end:
            yield _between(at, extent.end)


def merged(extents: Iterable[Extent], others: Iterable[Extent]) -> Iterator[Extent]:
    """Yield both in order, as each of them is; none may overlap."""
    return merge(extents, others, key=lambda extent: extent.offset)


def runs(extent: Extent, data: bytes) -> Iterator[tuple[Extent, bool]]:
    """Yield the parts of `extent`, in order, and whether each one holds data.

    Those that do not are all zeros, and end where `ZERO_RUN` ends or the extent does.
    """
    begin = at = extent.offset
    filled: bool | None = None
    while at < extent.end:
        step = min(extent.end, at - at % ZERO_RUN + ZERO_RUN) - at
        holds = not data.startswith(_ZEROS[:step], at - extent.offset)
        if filled is not None and holds is not filled:
            yield _between(begin, at), filled
            begin = at
        filled, at = holds, Bytes(at + step)
    if filled is not None:
        yield _between(begin, at), filled


class Pace:
    """Keeps what crosses one link to a bandwidth, over all time and in each second."""

    def __init__(self) -> None:
        self._due: Seconds | None = None

    def wait(self, length: Bytes, bandwidth: Bytes, now: Seconds) -> Seconds:
        """Return how long to wait before so many bytes more may be asked for."""
        due = now if self._due is None else max(self._due, now - _CREDIT)
        self._due = due + length / bandwidth
        return max(0, self._due - now)


class Rate:
    """How fast bytes arrived lately."""

    def __init__(self) -> None:
        self._samples: deque[tuple[Seconds, int]] = deque()

    def saw(self, present: int, now: Seconds) -> float | None:
        """Take note of so many bytes at `now`; return bytes per second, if known."""
        self._samples.append((now, present))
        while now - self._samples[0][0] > _MEASURED:
            self._samples.popleft()
        begun, first = self._samples[0]
        if now <= begun or present <= first:
            return None
        return (present - first) / (now - begun)


def _between(begin: int, end: int) -> Extent:
    return Extent(Bytes(begin), Bytes(end - begin))
