"""What a note of a disk in the making says, and how long it proves anything; pure."""

import math
from dataclasses import dataclass

from cowpath.core.model import Bytes, ImageId, Seconds

SKEW: Seconds = 5.0
"""How far the clock of a compute host may be behind that of an OSD."""

_CUT: Seconds = 1.0
"""How far it may be ahead: an RBD image has the time of its making in whole seconds.

No more than that: what was made before a note is not of the call that wrote it, but
somebody else's, who was first. A note has its host's time (the cluster would tell its
own in a further round trip, for every disk), an image its OSD's. Where they are
further apart, a disk of a killed call is not taken for ours: it stays, as anybody's.
"""


@dataclass(frozen=True, slots=True)
class Note:
    """That a call was about to make a disk.

    Attributes:
        image: The Glance image that it was to be of.
        began: Seconds since the epoch; None in a note of old, which has no time.
        size: Bytes of that image, as large as librbd makes the disk at first; None
            in a note of old.
    """

    image: str
    began: Seconds | None = None
    size: Bytes | None = None

    def explains(self, made: Seconds, within: Seconds) -> bool:
        """Tell whether that call, which lasted no longer, made what was made then.

        A note without a time explains nothing: somebody else may have come since.
        """
        if self.began is None:
            return False
        return -_CUT <= made - self.began <= within + SKEW


def text(image: ImageId, began: Seconds, size: Bytes) -> str:
    """Return what is written down."""
    return f"{image} {began:.3f} {size}"


def read(written: str) -> Note:
    """Return the note that was written down; without a time if that is none."""
    image, _, rest = written.partition(" ")
    began, _, size = rest.partition(" ")
    try:
        seconds = float(began)
    except ValueError:
        return Note(image)
    if not math.isfinite(seconds):
        return Note(image)
    return Note(image, seconds, Bytes(int(size)) if size.isdecimal() else None)
