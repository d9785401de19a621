"""What the tests of CopyWatch share: an image, what Glance shows, a watch."""

from dataclasses import replace

from cowpath.core.copy_steps import Ask, Look, Pause, Stop, Wait
from cowpath.core.copy_watch import CopyWatch
from cowpath.core.errors import (
    CowpathError,
    UnavailableError,
)
from cowpath.core.events import Phase
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    CopyAnswer,
    Image,
    ImageId,
    Patience,
    StoreName,
)

EDGE = StoreName("edge1")
IMAGE = Image(
    ImageId("6f2e1c0a-0000-4000-8000-00000000000a"),
    "debian",
    size=Bytes(1000),
    stores=frozenset({StoreName("central")}),
)
BASE = Base(IMAGE.id, "/edge1/debian", Bytes(1000))
PATIENCE = Patience(timeout=600, poll=15, queue=900, grace=30)
GONE = UnavailableError("Glance answers 502")


def shown(
    stores: str = "central",
    *,
    importing: str = "",
    failed: str = "",
    lock: str | None = None,
) -> Image:
    """Return the image with Glance's comma lists."""

    def names(text: str) -> frozenset[StoreName]:
        return frozenset(StoreName(name) for name in text.split(",") if name)

    return replace(
        IMAGE,
        stores=names(stores),
        importing=names(importing),
        failed=names(failed),
        lock=lock,
    )


COPYING = shown(importing="edge1", lock="task-1")
HERE = shown("central,edge1")


def watch(patience: Patience = PATIENCE, jitter: float = 0) -> CopyWatch:
    return CopyWatch(
        EDGE, patience, 0, territory=lambda: "the pool", jitter=lambda: jitter
    )


def accepted(patience: Patience = PATIENCE, *, before: Image = IMAGE) -> CopyWatch:
    """Return a watch whose request Glance accepted at 0 s."""
    made = watch(patience)
    assert made.look(before, None, 0) == Ask()
    made.answered(CopyAnswer.ACCEPTED, 0)
    return made


def queued(patience: Patience = PATIENCE) -> CopyWatch:
    """Return a watch that found another store's import at 0 s."""
    made = watch(patience)
    busy = shown(importing="edge2", lock="task-2")
    assert made.look(busy, None, 0) == Wait()
    return made


def phase(follower: CopyWatch) -> Phase:
    return follower.phase


def error_of(step: object) -> CowpathError:
    assert isinstance(step, Stop), step
    return step.error


def arrive(follower: CopyWatch, present: int, now: float) -> Pause | Look:
    return follower.peek(Arrival(Bytes(present)), now)


def at(seconds: int, image: Image = IMAGE) -> Image:
    """Return the image as Glance changed it then."""
    return replace(image, updated=f"2026-01-01T00:00:{seconds:02}Z")


def repairing(patience: Patience = PATIENCE) -> CopyWatch:
    return CopyWatch(EDGE, patience, 0, repair=True)
