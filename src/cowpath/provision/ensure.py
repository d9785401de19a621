"""Make sure that an image is in this site's store: the local base, else the ways."""

from cowpath.core.errors import CowpathError, NotFoundError
from cowpath.core.events import BaseFound, Warned
from cowpath.core.model import Base, Image
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_head, check_image


def ensure_local(image: Image, here: SitePorts) -> Base:
    """Return the base of `image` in this site's store, bringing it here if need be.

    Costs no request to Glance beyond the one that gave `image` if it is here already.

    Raises:
        UnsuitableError: No disk can be made of it: status, format, no bytes.
        UntrustedError: Glance shows a location in our store that is not ours.
        CopyError: It is not here and did not come.
        ForbiddenError: It is not here and we may not have it copied.
    """
    check_image(image)
    base = here.bases.find_base(image) if image.is_in(here.store) else None
    copied = base is None
    if base is None:
        base = _bring(image, here)
    return accept_base(image, base, here, copied=copied)


def accept_base(image: Image, base: Base, here: SitePorts, *, copied: bool) -> Base:
    """Return the base that was found in this site's store, wherever it came from.

    Raises:
        UnsuitableError: Its first bytes are another format's.
    """
    check_head(image, base.head)
    here.observer.tell(BaseFound(base, copied=copied))
    return base


def _bring(image: Image, here: SitePorts) -> Base:
    for way in here.ways:
        try:
            return way.bring(image)
        except CowpathError as error:
            if way is here.ways[-1]:
                raise
            here.observer.tell(Warned(f"{error}; trying the next way"))
    raise NotFoundError(
        f"image {image.id} ({image.name}) is not in store {here.store}, and no way to "
        f"bring it here is configured"
    )
