"""Bring an image into a store, this site's or another's, without making a disk."""

from cowpath.core.errors import CopyBusyError
from cowpath.core.model import Base, CopyAnswer, Image, StoreName
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_image
from cowpath.provision.ensure import ensure_local
from cowpath.provision.ways.ask_glance import ask_for_copy


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

    A copy that somebody else has running to that store is as good as ours.

    Raises:
        UnsuitableError: Disks cannot be made of it, so no copy is made.
        NotFoundError: Glance has no such store.
        ForbiddenError: Policy or quota refuses the copy.
        CopyBusyError: Another import of the image is running: nothing was asked.
    """
    check_image(image)
    if image.is_in(store):
        return CopyAnswer.PRESENT
    if image.is_being_copied_to(store):
        return CopyAnswer.ACCEPTED
    answer = ask_for_copy(image, store, here.catalog, here.observer)
    if answer is CopyAnswer.BUSY:
        raise CopyBusyError(
            f"another import of image {image.id} ({image.name}) is running, and Glance "
            f"takes one at a time: nothing was asked for store {store}. Ask again "
            f"later, or wait for both (without --no-wait)"
        )
    return answer
