"""`rbd://fsid/pool/image/snap`: Glance's locations in Ceph; pure."""

from dataclasses import dataclass
from urllib.parse import unquote

_PREFIX = "rbd://"
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A snapshot somewhere in a cluster."""

    fsid: str
    pool: str
    image: str
    snapshot: str


def parse(url: str) -> Place | None:
    """Return what a location's URL names; None if it is none of RBD's."""
    if not url.startswith(_PREFIX):
        return None
    parts = [unquote(part) for part in url.removeprefix(_PREFIX).split("/")]
    if len(parts) != _PARTS or not all(parts):
        return None
    return Place(*parts)
