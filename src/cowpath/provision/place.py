"""Bring an image into stores, this site's or others', without making a disk."""

from collections.abc import Sequence

from cowpath.core.copy_words import unknown_store
from cowpath.core.errors import CowpathError
from cowpath.core.model import Base, CopyAnswer, Image, StoreName
from cowpath.core.ports import SitePorts
from cowpath.core.rules import check_image
from cowpath.provision.ensure import accept_base, ensure_local

Outcomes = dict[StoreName, Base | CowpathError]


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
    outcome = here.placer.place(image, (store,))[store]
    if isinstance(outcome, CowpathError):
        raise outcome
    return outcome


def place_all(image: Image, stores: Sequence[StoreName], here: SitePorts) -> Outcomes:
    """Return the base of `image` in each of `stores`, or why it has none.

    One request to Glance copies to all that lack it, and each store's outcome is its
    own.

    Raises:
        UnsuitableError: Disks cannot be made of it, so no copy is made.
    """
    check_image(image)
    # One unknown name would make Glance refuse the request for all of them. That of a
    # single one costs nothing more.
    known = here.catalog.stores() if len(stores) > 1 else stores
    found: Outcomes = {
        store: unknown_store(image, store, known)
        for store in stores
        if store not in known
    }
    found |= here.placer.place(image, [store for store in stores if store in known])
    if here.store in found:
        found[here.store] = _checked(image, found[here.store], here)
    return {store: found[store] for store in stores}


def request_copies(
    image: Image, stores: Sequence[StoreName], here: SitePorts
) -> dict[StoreName, CopyAnswer]:
    """Ask Glance with one request for copies in `stores` and return at once.

    A copy that somebody else has running to a store is as good as ours.

    Raises:
        UnsuitableError: Disks cannot be made of it, so no copy is made.
        NotFoundError: Glance has no such store.
        ForbiddenError: Policy or quota refuses the copy.
        CopyBusyError: Another import of the image is running: nothing was asked.
    """
    check_image(image)
    found = {store: _answer(image, store) for store in stores}
    while lacking := [store for store in stores if found[store] is None]:
        answer = here.placer.ask(image, lacking)
        if answer is CopyAnswer.PRESENT and len(lacking) > 1:
            # One of them has it by now, and nothing was asked for the others.
            image = here.catalog.get(image.id)
            news = {store: _answer(image, store) for store in lacking}
            found |= news if any(news.values()) else {lacking[0]: answer}
        else:
            found |= dict.fromkeys(lacking, answer)
    return {store: answer for store, answer in found.items() if answer}


def _answer(image: Image, store: StoreName) -> CopyAnswer | None:
    """Return what Glance shows of a copy to `store`; None if it is to be asked for.

    A flag for the store may have been left long ago, and the import be for others.
    """
    if image.is_in(store):
        return CopyAnswer.PRESENT
    ours_alone = image.importing == {store}
    running = image.is_being_copied_to(store) and ours_alone
    return CopyAnswer.ACCEPTED if running else None


def _checked(
    image: Image, outcome: Base | CowpathError, here: SitePorts
) -> Base | CowpathError:
    """Return what came to this site's own store, or why no disk can be made of it."""
    if isinstance(outcome, CowpathError):
        return outcome
    try:
        return accept_base(image, outcome, here, copied=not image.is_in(here.store))
    except CowpathError as error:
        return error
