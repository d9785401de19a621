"""Why a copy did not come: the errors' words, complete enough to act on."""

from collections.abc import Sequence
from dataclasses import dataclass

from cowpath.core.errors import (
    CopyFailedError,
    CopyStalledError,
    CopyTimeoutError,
    CowpathError,
    LeftoverError,
    NotFoundError,
    UnsuitableError,
    UntrustedError,
)
from cowpath.core.model import (
    Bytes,
    Image,
    Intake,
    Leftover,
    Seconds,
    StoreName,
)

_LOCK = (
    "Glance hands a dead lock over 60 minutes after its task's last sign of life (120 "
    "if that never began), to whoever asks for a copy then: Cowpath does, with "
    "[cowpath] pass_dead_lock_after = 3600"
)


@dataclass(frozen=True, slots=True)
class CopyWords:
    """What can be said of the copy of one image to one store.

    Attributes:
        image: As Glance showed it last.
        present: Bytes that this site's store showed last.
    """

    image: Image
    store: StoreName
    present: Bytes

    @property
    def who(self) -> str:
        """The image, for messages."""
        return f"image {self.image.id} ({self.image.name})"

    @property
    def how_far(self) -> str:
        """How many bytes have arrived, as a part of a sentence."""
        if not self.present:
            return ""
        return f", {self.present} of {self.image.size} bytes there"

    def no_base(self, territory: str) -> CowpathError:
        """Say that Glance lists what our store does not have."""
        urls = ", ".join(place.shown for place in self.image.locations) or "hidden"
        return UntrustedError(
            f"Glance lists {self.who} in store {self.store}, but {territory} holds no "
            f"base of it with {self.image.size} bytes (its locations: {urls}): the "
            f"store name belongs to another place, or the bytes are gone; check "
            f"images_rbd_glance_store_name"
        )

    def failed(self) -> CowpathError:
        """Say that Glance lists our store as failed."""
        return CopyFailedError(
            f"Glance failed to copy {self.who} to store {self.store}{self.how_far}. "
            f"Glance tells no reason: read its log, check that the store is writable "
            f"and has room, then try again"
        )

    def silent(self, accepted: int) -> CowpathError:
        """Say that Glance dropped the copy."""
        return CopyFailedError(
            f"Glance accepted the copy of {self.who} to store {self.store} {accepted} "
            f"times and dropped it without a word. Read its log; full staging space "
            f"and a lost source are common causes"
        )

    def stalled(self, seconds: Seconds) -> CowpathError:
        """Say that bytes stopped arriving."""
        return CopyStalledError(
            f"the copy of {self.who} to store {self.store} has stopped: nothing "
            f"arrived for {seconds:.0f} s{self.how_far}. It may go on once the store "
            f"takes bytes again: the same command joins it. If Glance was killed, its "
            f"lock remains (task {self.image.lock or 'not shown'}): {_LOCK}. The bound "
            f"is [cowpath] copy_stall"
        )

    def too_late(self, timeout: Seconds) -> CowpathError:
        """Say that time is up while Glance goes on."""
        held = f" (task {self.image.lock} holds the lock)" if self.image.lock else ""
        return CopyTimeoutError(
            f"{self.who} is not in store {self.store} after {timeout:g} s"
            f"{self.how_far}. Glance goes on copying{held}: the same command joins it; "
            f"images_rbd_glance_copy_timeout is the bound. If Glance was killed "
            f"meanwhile, nobody copies, and the lock remains: {_LOCK}"
        )

    def queue_too_long(self, queue: Seconds) -> CowpathError:
        """Say that another import never ended."""
        other = ", ".join(sorted(self.image.importing)) or "a store it does not name"
        return CopyTimeoutError(
            f"another import of {self.who}, to {other}, has held Glance's lock (task "
            f"{self.image.lock or 'not shown'}) for {queue:g} s, so the copy to "
            f"{self.store} was never asked for. {_LOCK}"
        )

    def leftover(self, lying: Leftover) -> CowpathError:
        """Say what blocks the copy, and how to take it away."""
        return LeftoverError(
            f"Glance does not list {self.who} in store {self.store}, so nothing was "
            f"asked, for {left_behind(lying)}"
        )

    def not_active(self) -> CowpathError:
        """Say that the image changed under the copy."""
        return UnsuitableError(
            f"{self.who} became {self.image.status} while it was copied to store "
            f"{self.store}{self.how_far}: Glance fails such a copy at its end. Have it "
            f"reactivated (openstack image set --activate {self.image.id}), then try "
            f"again"
        )

    def gone(self, error: CowpathError) -> CowpathError:
        """Say that the image vanished under the copy."""
        return NotFoundError(
            f"{self.who} was deleted, or is not ours to see any more, while it was "
            f"brought to store {self.store}{self.how_far} ({error}). Glance may finish "
            f"the copy of a deleted image and forget its bytes in that store"
        )


def silence(image: Image, store: StoreName, seconds: Seconds) -> str:
    """Return the warning that nothing has arrived yet."""
    return (
        f"nothing of image {image.id} ({image.name}) has arrived in store {store} for "
        f"{seconds:.0f} s: Glance may still be staging it, which cannot be seen from "
        f"here; its log says"
    )


def lock_passed(image: Image, store: StoreName, idle: Seconds) -> str:
    """Return the warning that a lock is taken for dead."""
    return (
        f"image {image.id} ({image.name}) is locked by task {image.lock}, and nothing "
        f"of it has changed for {idle:.0f} s: asking Glance for store {store} all the "
        f"same ([cowpath] pass_dead_lock_after); it decides whether the lock is dead"
    )


def left_behind(lying: Leftover) -> str:
    """Return what lies in the way of a copy, and the cure, as the end of a sentence."""
    return (
        f"{lying.where} holds {lying.present} bytes that a broken copy left, and "
        f"Glance refuses to write there (Duplicate). With [cowpath] "
        f"set_aside_leftovers Cowpath moves it out of the way; by hand: {lying.cure}"
    )


def with_evidence(error: CowpathError, evidence: tuple[str, ...]) -> CowpathError:
    """Return `error` with what this site's own store shows; Glance tells no reason."""
    if not evidence:
        return error
    told = f"{error}. What this site's store shows: {'; '.join(evidence)}"
    return type(error)(told)


def scant_room(image: Image, intake: Intake) -> tuple[str, ...]:
    """Return that the image does not fit, if none of its bytes were zeros."""
    if intake.free >= (image.size or 0):
        return ()
    return (f"{intake.free} bytes are free there, and the image has {image.size}",)


def unknown_store(
    image: Image, store: StoreName, known: Sequence[StoreName]
) -> CowpathError:
    """Return the error that Glance has no such store."""
    return NotFoundError(
        f"Glance has no store {store}, so image {image.id} ({image.name}) cannot be "
        f"copied to it; it has {', '.join(known)}: check the spelling; if this is the "
        f"site's own store, set images_rbd_glance_store_name to one of these"
    )
