"""`rbd://fsid/pool/image/snap`: Glance's locations in Ceph; pure."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

SNAPSHOT = "snap"
"""What Glance calls the snapshot that it makes of every image."""

_DRAFT = "cowpath-copy-"
_PREFIX = "rbd://"
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A snapshot somewhere in a cluster."""

    fsid: str
    pool: str
    image: str
    snapshot: str

    @property
    def url(self) -> str:
        """The location's URL, as Glance spells it."""
        parts = (self.fsid, self.pool, self.image, self.snapshot)
        return _PREFIX + "/".join(quote(part, safe="") for part in parts)


def parse(url: str) -> Place | None:
    """Return what a location's URL names; None if it is none of RBD's."""
    if not url.startswith(_PREFIX):
        return None
    parts = [unquote(part) for part in url.removeprefix(_PREFIX).split("/")]
    if len(parts) != _PARTS or not all(parts):
        return None
    return Place(*parts)


def draft_name(image: str) -> str:
    """Return the name of an image's copy in the making, where nobody looks for it."""
    return f"{_DRAFT}{image}"
