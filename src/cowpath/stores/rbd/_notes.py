"""What a note of a disk in the making says, and how long it proves anything; pure."""

import math
from dataclasses import dataclass

from cowpath.core.model import ImageId, Seconds

SKEW: Seconds = 5.0
"""How far apart the clocks of a compute host and of an OSD may be.

A note has its host's time, an RBD image its OSD's, in whole seconds. Where they are
further apart, a disk of a killed call is not taken for ours: it stays, as anybody's.
"""


@dataclass(frozen=True, slots=True)
class Note:
    """That a call was about to make a disk.

    Attributes:
        image: The Glance image that it was to be of.
        began: Seconds since the epoch; None in a note of old, which has no time.
    """

    image: str
    began: Seconds | None = None

    def explains(self, made: Seconds, within: Seconds) -> bool:
        """Tell whether that call, which lasted no longer, made what was made then.

        A note without a time explains nothing: somebody else may have come since.
        """
        if self.began is None:
            return False
        return -SKEW <= made - self.began <= within + SKEW


def text(image: ImageId, began: Seconds) -> str:
    """Return what is written down."""
    return f"{image} {began:.3f}"


def read(written: str) -> Note:
    """Return the note that was written down; without a time if that is none."""
    image, _, began = written.partition(" ")
    try:
        seconds = float(began)
    except ValueError:
        return Note(image)
    return Note(image, seconds if math.isfinite(seconds) else None)
