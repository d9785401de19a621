"""What is where: images as Glance lists them, with what this site's store shows."""

from collections.abc import Iterator

from cowpath.core.errors import (
    ForbiddenError,
    UnavailableError,
    UntrustedError,
)
from cowpath.core.model import Image, Sight
from cowpath.core.ports import SitePorts


def look_at(image: Image, here: SitePorts) -> Sight:
    """Return what this site's store shows of `image`."""
    try:
        return _seen(image, here)
    except UnavailableError as error:
        return Sight(image, doubt=str(error))


def look_around(here: SitePorts) -> Iterator[Sight]:
    """Yield every image that we may see, as Glance lists them."""
    away = ""
    for image in here.catalog.images():
        if away:
            # A store that does not answer is waited for once, not for each image.
            yield Sight(image, doubt=f"not looked for: {away}")
            continue
        try:
            sight = _seen(image, here)
        except UnavailableError as error:
            away = str(error)
            sight = Sight(image, doubt=away)
        yield sight


def _seen(image: Image, here: SitePorts) -> Sight:
    try:
        if here.store in image.stores:
            return Sight(image, base=here.bases.find_base(image))
        arrival = here.bases.arrival(image)
        if arrival is None or image.lock or image.status != "active":
            return Sight(image, arrival=arrival)
        return _abandoned(image, here)
    except (UntrustedError, ForbiddenError) as error:
        return Sight(image, doubt=str(error))


def _abandoned(image: Image, here: SitePorts) -> Sight:
    """Return what lies here of an image that Glance neither listed nor imported.

    A copy may have begun, or ended, since Glance was asked: it is asked once more.
    """
    now = here.catalog.get(image.id)
    arrival = here.bases.arrival(now)
    if now.lock or here.store in now.stores:
        return Sight(now, arrival=arrival)
    return Sight(now, arrival=arrival, leftover=here.bases.leftover(now))
