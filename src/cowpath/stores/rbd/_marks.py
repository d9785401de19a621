"""Our mark on an RBD image: metadata, bound to the image's internal id.

librbd copies an image's metadata to its clones, so a mark without the id of the
image that it was made for would be inherited by whatever is cloned from a disk.
"""

import json
from dataclasses import dataclass

from cowpath.core.errors import UsageError
from cowpath.core.model import ImageId, image_id

KEY = "cowpath.disk"
COPY = "cowpath.copy"
"""The key on an image that we copied from another store."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What we noted about a disk when we made it.

    Attributes:
        image: The Glance image it was made of.
        rbd_id: The internal id of the RBD image.
    """

    image: ImageId
    rbd_id: str

    def text(self) -> str:
        """Return the value of the metadata key."""
        facts = {"format": _FORMAT, "image": self.image, "rbd_id": self.rbd_id}
        return json.dumps(facts)


def read(text: str | None, rbd_id: str) -> Mark | None:
    """Return the mark in `text`; None if it is not of the image `rbd_id`."""
    try:
        facts = json.loads(text or "")
        mark = Mark(image_id(facts["image"]), str(facts["rbd_id"]))
        return mark if (facts["format"], mark.rbd_id) == (_FORMAT, rbd_id) else None
    except (UsageError, ValueError, KeyError, TypeError):
        return None  # not a mark of ours, so no proof of anything
