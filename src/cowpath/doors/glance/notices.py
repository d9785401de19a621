"""What is told of an image while it is copied, on the message bus, as Glance tells it.

Glance tells it when it saves the image or puts bytes into a store, and ours does
neither. With one store, Glance 33 tells of a copy: image.update (twice), image.prepare,
image.upload and image.update (twice); where it fails, image.upload is an error.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import glance.db
from glance import context, notifier
from glance.common import exception
from oslo_config import cfg
from oslo_log import log as logging

from cowpath.doors.glance.ledger import FAILED, IMPORTING

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_UPLOAD = "image.upload"


class Notices:
    """Notifications of one image. None of them is worth a copy: nothing is raised."""

    def __init__(self, image: str) -> None:
        self._image = image

    @cached_property
    def _images(self) -> Any:
        """Return Glance's repository of images, as far down as it notifies."""
        admin = context.get_admin_context()
        below = glance.db.ImageRepo(admin, glance.db.get_api())
        return notifier.ImageRepoProxy(below, admin, notifier.Notifier())

    def updated(self) -> None:
        """Tell that a location or a flag of it is another."""
        self._tell("image.update")

    def copying(self, store: str) -> None:
        """Tell that a store is about to get it."""
        self._tell("image.prepare", store)

    def copied(self) -> None:
        """Tell that a store has got it."""
        self._tell(_UPLOAD, "")
        self.updated()

    def failed(self, why: str) -> None:
        """Tell that a store has not got it."""
        if not {"image", _UPLOAD} & {*CONF.disabled_notifications}:
            self._quietly(lambda: self._images.notifier.error(_UPLOAD, why))

    def _tell(self, event: str, store: str | None = None) -> None:
        def told() -> None:
            image = self._images.get(self._image)
            more = None if store is None else _flags(image)
            self._images.send_notification(event, image, more, store)

        self._quietly(told)

    def _quietly(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except exception.NotFound:
            return
        except Exception:
            LOG.exception("Image %s: nobody could be notified of it", self._image)


def _flags(image: Any) -> dict[str, list[str]]:
    told = {name: image.extra_properties.get(name) for name in (IMPORTING, FAILED)}
    return {name: words.split(",") if words else [] for name, words in told.items()}
