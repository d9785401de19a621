"""Parts of an image: requests of bounded size, and ranges that lie together; pure."""

from collections.abc import Iterable, Iterator

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent


def pieces(start: int, end: int, most: int) -> Iterator[Extent]:
    """Yield what covers a range, cut at multiples of `most` bytes."""
    while start < end:
        stop = min(end, start - start % most + most)
        yield Extent(Bytes(start), Bytes(stop - start))
        start = stop


def joined(found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ranges, each a start and an end and in order, with neighbours made one."""
    last: tuple[int, int] | None = None
    for start, end in found:
        if last and last[1] == start:
            last = last[0], end
            continue
        if last:
            yield last
        last = start, end
    if last:
        yield last
