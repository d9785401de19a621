"""The bandwidth of each pair of stores, kept by all copies of a process together."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from cowpath.core.model import Bytes, Seconds, StoreName
from cowpath.core.transfer import Extent
from cowpath.core.transfer_rules import Pace
from cowpath.provision.copying.progress import Progress
from cowpath.provision.copying.targets import Target

Pair = tuple[StoreName, StoreName]


class Links:
    """What crosses each pair of stores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: defaultdict[Pair, Pace] = defaultdict(Pace)

    def paced(
        self,
        extents: Iterable[Extent],
        source: StoreName,
        targets: Callable[[], Iterable[Target]],
        progress: Progress,
    ) -> Iterator[Extent]:
        """Yield each extent when all `targets` of that moment may be sent it."""
        for extent in extents:
            now = progress.now()
            waits = (self._wait(source, each, extent, now) for each in targets())
            progress.sleep(max(waits, default=0))
            yield extent

    def _wait(
        self, source: StoreName, target: Target, extent: Extent, now: Seconds
    ) -> Seconds:
        bandwidth = target.terms.bandwidth
        if bandwidth is None:
            return 0
        with self._lock:
            pace = self._paces[source, target.store]
            # What is read back to be compared crosses the link once more.
            crossing = Bytes(extent.length * (2 if target.read_back else 1))
            return pace.wait(crossing, bandwidth, now)
