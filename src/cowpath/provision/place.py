"""Bring an image into a store, this site's or another's, without making a disk."""

from cowpath.core.events import CopyAsked
from cowpath.core.model import Base, CopyAnswer, Image, StoreName
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_image
from cowpath.provision.ensure import ensure_local


def place_image(image: Image, store: StoreName, here: SitePorts) -> Base:
    """Return the base of `image` in `store` once it is there.

    Another site's store is seen only through Glance: its base is what Glance lists.

    Raises:
        UnsuitableError: Disks cannot be made of it, so no copy is made.
        NotFoundError: Glance has no such store.
        CopyError: It did not come.
    """
    if store == here.store:
        return ensure_local(image, here)
    check_image(image)
    return here.way_to(store).bring(image)


def request_copy(image: Image, store: StoreName, here: SitePorts) -> CopyAnswer:
    """Ask Glance for a copy of `image` in `store` and return at once.

    Raises:
        UnsuitableError: Disks cannot be made of it, so no copy is made.
        NotFoundError: Glance has no such store.
        ForbiddenError: Policy or quota refuses the copy.
    """
    check_image(image)
    if store in image.stores:
        return CopyAnswer.PRESENT
    answer = here.catalog.copy(image.id, store)
    if answer is CopyAnswer.ACCEPTED:
        here.observer.tell(CopyAsked(image, store))
    return answer
