"""One of each event, for tests of what events look like."""

from cowpath.core import events
from cowpath.core.errors import BusyError, UnavailableError
from cowpath.core.events import CopyProgress, Event, Phase
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    Leftover,
    Location,
    StoreName,
)

EDGE = StoreName("edge1")
SECRET = "s3cret"  # noqa: S105  # only to be looked for
IMAGE = Image(
    ImageId("6f2e1c0a-0000-4000-8000-00000000000a"),
    "[red]debian[/red]",
    stores=frozenset({StoreName("central"), StoreName("archive")}),
    locations=(Location(f"swift+https://user:{SECRET}@host/images/debian"),),
)
BASE = Base(IMAGE.id, "/edge1/debian", Bytes(2**30))
DISK = Disk(
    DiskName("vm1"),
    Bytes(20 * 2**30),
    FileSource("/d/vm1.qcow2", backing=BASE.where),
    image=IMAGE.id,
    base=BASE.where,
)
PROGRESS = CopyProgress(IMAGE.id, EDGE, Phase.STORING, Bytes(2**29), Bytes(2**30), 12.3)
GONE = UnavailableError("Glance answers 502")
LEFTOVER = Leftover(IMAGE.id, "/edge1/half", Bytes(2**20), "mv /edge1/half /elsewhere")

EVERY: tuple[Event, ...] = (
    events.CopyAsked(IMAGE, EDGE),
    events.CopyJoined(IMAGE, EDGE),
    PROGRESS,
    events.CopyFinished(IMAGE.id, EDGE, 15.72),
    events.CopyFailed(IMAGE.id, EDGE, GONE),
    events.LeftoverSetAside(LEFTOVER, "mv /kept/half /edge1/half restores it"),
    events.LookFailed(IMAGE.id, GONE, 3),
    events.BaseFound(BASE, copied=True),
    events.DiskMade(DISK),
    events.DiskAdopted(DISK),
    events.DiskGrown(DISK),
    events.DiskDeleted(DISK),
    events.DiskBusy(DISK.name, BusyError("vm1 is open"), 5),
    events.GuestStarted("vm1", DISK),
    events.Warned("no limit"),
)
