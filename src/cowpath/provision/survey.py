"""What is where: images as Glance lists them, with what this site's store shows."""

from collections.abc import Iterator

from cowpath.core.errors import ForbiddenError, UntrustedError
from cowpath.core.model import Image, Sight
from cowpath.core.ports import SitePorts


def look_at(image: Image, here: SitePorts) -> Sight:
    """Return what this site's store shows of `image`."""
    if here.store in image.stores:
        try:
            return Sight(image, base=here.bases.find_base(image))
        except (UntrustedError, ForbiddenError) as error:
            return Sight(image, doubt=str(error))
    arrival = here.bases.arrival(image)
    # Of an image that nobody copies, these bytes are what a broken copy left.
    abandoned = arrival is not None and not image.lock
    lying = here.bases.leftover(image) if abandoned else None
    return Sight(image, arrival=arrival, leftover=lying)


def look_around(here: SitePorts) -> Iterator[Sight]:
    """Yield every image that we may see, as Glance lists them."""
    for image in here.catalog.images():
        yield look_at(image, here)
