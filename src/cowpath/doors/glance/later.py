"""Looks at an image some time after it was copied.

A user's PATCH, or DELETE, reads an image and writes all of it a moment later. One that
read before a location was added, and writes after, drops the location, puts flags of
the copy back, or leaves bytes behind that no image has. No lock of Glance's is against
that, so what came of it is mended.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

import glance_store
from oslo_log import log as logging

from cowpath.core.errors import CowpathError
from cowpath.core.model import Image, Location, Seconds, StoreName
from cowpath.doors.glance.ledger import (
    LOCK,
    GoneError,
    Ledger,
    Row,
    as_image,
    has_location,
    importing,
    properties,
)
from cowpath.doors.glance.records import Order
from cowpath.wiring import Copying

LOG = logging.getLogger(__name__)

_AFTER: tuple[Seconds, ...] = (0.5, 2.5, 12, 45)
"""From one look to the next: a minute in all."""


class Aftercare:
    """Looks at one image, again and again, and not in its copy's own time."""

    def __init__(
        self,
        ledger: Ledger,
        order: Order,
        added: Mapping[StoreName, Location],
        copying: Copying,
    ) -> None:
        """Know what to look at; nothing is done yet.

        Args:
            ledger: What Glance knows of the image.
            order: What was asked for.
            added: The locations that this process has added.
            copying: The stores.
        """
        self._ledger = ledger
        self._asked = {StoreName(each) for each in order.stores}
        self._added = dict(added)
        self._copying = copying
        self._after = list(_AFTER)

    def begin(self) -> None:
        """Look for the first time, a moment from now."""
        if self._after:
            timer = threading.Timer(self._after.pop(0), self._next)
            timer.daemon = True
            timer.start()

    def _next(self) -> None:
        try:
            if self.look():
                self.begin()
        except Exception:
            LOG.exception("Image %s: the look after its copy failed", self._image)
            self.begin()

    def look(self) -> bool:
        """Mend what a save took back; tell whether to look again."""
        try:
            row = self._ledger.row()
        except GoneError:
            if not self._ledger.is_scheduled_for_deletion():
                self._forget()
            return False
        if LOCK in properties(row):
            return False  # the next import has its own care
        stuck = importing(row) & self._asked
        if stuck:
            self._ledger.clear(stuck)
        for store, location in self._added.items():
            if not has_location(row, store):
                self._mend(row, store, location)
        self._mark_as_listed(row)
        return True

    def _mark_as_listed(self, row: Row) -> None:
        """Tell the stores again: one may have been away, or waited for a dead lease."""
        image = as_image(row)
        told = self._asked & image.stores - self._added.keys()
        mark_as_listed(self._copying, image, told)

    def _mend(self, row: Row, store: StoreName, location: Location) -> None:
        # Where Glance removed the location on purpose, it removed the bytes before, or
        # its row says that a scrubber will.
        image = as_image(row)
        seen = replace(image, locations=(*image.locations, location))
        if not self._copying.has(seen, store):
            return
        if self._ledger.add_again(store, location):
            LOG.warning(
                "Image %s: its location in store %s was dropped by a change that "
                "overtook the copy, and was added again",
                *(self._image, store),
            )

    def _forget(self) -> None:
        """Have Glance remove our bytes, as it has removed the image's others."""
        for store, location in self._added.items():
            try:
                glance_store.delete(location.url, store)
            except glance_store.NotFound:
                continue
            except Exception:
                LOG.exception(
                    "Image %s was deleted, its copy %s was not",
                    *(self._image, location.shown),
                )

    @property
    def _image(self) -> str:
        return self._ledger.image


def mark_as_listed(copying: Copying, image: Image, stores: Iterable[StoreName]) -> None:
    """Have stores know that Glance lists what a process that is dead published."""
    for store in stores:
        try:
            copying.listed(image, store)
        except CowpathError as error:
            LOG.warning(
                "Image %s: our mark stays on its copy in store %s, which does no harm "
                "while Glance lists it: %s",
                *(image.id, store, error),
            )
