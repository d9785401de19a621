"""What an observer is told while a verb works. Frozen facts; no wording."""

from dataclasses import dataclass
from enum import StrEnum

from cowpath.core.errors import CowpathError
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    Image,
    ImageId,
    Leftover,
    Seconds,
    StoreName,
)


class Phase(StrEnum):
    """Where a copy is, as far as can be seen from outside."""

    LOOKING = "looking"
    """Nothing was asked yet: what lies in this site's store is looked at."""
    QUEUED = "queued"
    """Another import of the same image holds Glance's lock."""
    STAGING = "staging"
    """Glance took the request; nothing has arrived here yet."""
    COPYING = "copying"
    """Glance took the request; the store is another site's and cannot be seen here."""
    STORING = "storing"
    """Bytes are arriving in this site's store."""
    FINISHING = "finishing"
    """All bytes are here; Glance has not said so yet."""
    VERIFYING = "verifying"
    """All bytes are here; whether they are the right ones is being proved."""


@dataclass(frozen=True, slots=True)
class CopyAsked:
    """Glance accepted our request to copy `image` to `store`."""

    image: Image
    store: StoreName


@dataclass(frozen=True, slots=True)
class CopyJoined:
    """Somebody else's copy of `image` to `store` is running; we follow it."""

    image: Image
    store: StoreName


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is.

    Attributes:
        present: Bytes that this site's store shows.
        total: Bytes of the image; None if Glance does not say. Of a copy that Cowpath
            makes itself: those of its parts that hold data.
        elapsed: Seconds since we began to follow.
        rate: Bytes per second that arrived lately; None while that is not known.
        left: Seconds that are left at that rate; None while that is not known.
        behind: While it is queued: the stores that the other import goes to, as far
            as Glance says.
    """

    image: ImageId
    store: StoreName
    phase: Phase
    present: Bytes
    total: Bytes | None
    elapsed: Seconds
    rate: float | None = None
    left: Seconds | None = None
    behind: frozenset[StoreName] = frozenset()


@dataclass(frozen=True, slots=True)
class CopyFinished:
    """Glance says done and the base is there; `seconds` since we began to follow."""

    image: ImageId
    store: StoreName
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class CopyFailed:
    """There is no base of `image` in `store`, and why; other stores may go on."""

    image: ImageId
    store: StoreName
    error: CowpathError


@dataclass(frozen=True, slots=True)
class LeftoverSetAside:
    """A leftover was moved out of Glance's way; `kept` says how to restore it."""

    leftover: Leftover
    kept: str


@dataclass(frozen=True, slots=True)
class LookFailed:
    """A look, at Glance or at this site's own store, got no answer; we go on.

    Attributes:
        times: Looks in a row.
    """

    image: ImageId
    error: CowpathError
    times: int


@dataclass(frozen=True, slots=True)
class BaseFound:
    """The image's clone source in this site's store; `copied` if it was not here."""

    base: Base
    copied: bool


@dataclass(frozen=True, slots=True)
class DiskMade:
    """A disk is ready."""

    disk: Disk


@dataclass(frozen=True, slots=True)
class DiskAdopted:
    """An unwritten disk of an interrupted earlier call was found and is used."""

    disk: Disk


@dataclass(frozen=True, slots=True)
class DiskGrown:
    """A disk has its new size."""

    disk: Disk


@dataclass(frozen=True, slots=True)
class DiskDeleted:
    """A disk is gone."""

    disk: Disk


@dataclass(frozen=True, slots=True)
class DiskBusy:
    """Somebody has the disk open; we try again after `seconds`."""

    name: DiskName
    error: CowpathError
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class GuestStarted:
    """A domain runs."""

    name: str
    disk: Disk


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, which does not stop the work."""

    text: str


Event = (
    CopyAsked
    | CopyJoined
    | CopyProgress
    | CopyFinished
    | CopyFailed
    | LeftoverSetAside
    | LookFailed
    | BaseFound
    | DiskMade
    | DiskAdopted
    | DiskGrown
    | DiskDeleted
    | DiskBusy
    | GuestStarted
    | Warned
)
