"""What a catalog suite needs behind the back of a simulated Glance."""

from cowpath.core.model import ImageId, StoreName
from cowpath.core.ports import Catalog
from cowpath.testing.catalog_doors import SMALL, CatalogDoors
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_simulator import GlanceSimulator


class SimulatorDoors(CatalogDoors):
    """Doors that lead to the simulator itself, whatever catalog is on trial."""

    def __init__(self, glance: GlanceSimulator, clock: FakeClock) -> None:
        self.clock = clock
        self.glance = glance
        self.catalog: Catalog = glance
        self.member: Catalog = glance.member()

    def upload(
        self, name: str, *, size: int = SMALL, visibility: str = "public"
    ) -> ImageId:
        return self.glance.upload(name, size=size, visibility=visibility).id

    def announce(self, name: str) -> ImageId:
        return self.glance.announce(name).id

    def delete(self, image: ImageId) -> None:
        self.glance.delete(image)

    def deactivate(self, image: ImageId) -> None:
        self.glance.deactivate(image)

    def leave_partial(self, image: ImageId, store: StoreName) -> None:
        self.glance.leave_partial(image, store, SMALL // 2)

    def remove_partial(self, image: ImageId, store: StoreName) -> None:
        self.glance.remove_leftover(image, store)

    def requests_about(self, image: ImageId) -> int:
        return sum(request.subject == image for request in self.glance.requests)
