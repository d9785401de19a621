"""A simulated Glance with one image, and what its stores were seen to hold."""

from cowpath.core.model import Bytes, CopyAnswer, Image, ImageId, StoreName
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_scripts import Fate, Pace
from cowpath.testing.glance_simulator import GlanceSimulator

CENTRAL, EDGE, EDGE2 = map(StoreName, ("central", "edge1", "edge2"))
PACE = Pace(spawn=1, staging=4, storing=10, unlock=1)
SIZE = 1000


class Scene:
    """The scene: an image of 1000 bytes in `central`, on its way to `edge1`."""

    def __init__(self, *fates: Fate) -> None:
        self.clock = FakeClock()
        self.arrived: dict[tuple[ImageId, StoreName], list[Bytes | None]] = {}
        self.glance = GlanceSimulator(self.clock, pace=PACE, sink=self._sink)
        self.image = self.glance.upload("debian", size=SIZE).id
        self.glance.plan(EDGE, *fates)

    def copy(self, *stores: StoreName) -> CopyAnswer:
        return self.glance.copy(self.image, stores or (EDGE,))

    def now(self) -> Image:
        return self.glance.get(self.image)

    def after(self, seconds: float) -> Image:
        self.clock.sleep(seconds)
        return self.now()

    def arrivals(self, store: StoreName = EDGE) -> list[Bytes | None]:
        """Return what a store was seen to hold: None where nothing is there."""
        return self.arrived.get((self.image, store), [])

    def _sink(self, image: ImageId, store: StoreName, present: Bytes | None) -> None:
        self.arrived.setdefault((image, store), []).append(present)


def within(*stores: StoreName) -> frozenset[StoreName]:
    """Return a set of stores."""
    return frozenset(stores)
