"""Events and sizes in plain words."""

from cowpath.core.events import (
    BaseFound,
    CopyAsked,
    CopyFinished,
    CopyJoined,
    CopyProgress,
    DiskAdopted,
    DiskBusy,
    DiskDeleted,
    DiskGrown,
    DiskMade,
    Event,
    GuestStarted,
    LookFailed,
    Phase,
    Warned,
)

_PHASES = {
    Phase.QUEUED: "waiting for another import of this image to end",
    Phase.STAGING: "Glance is staging it",
    Phase.STORING: "arriving",
    Phase.FINISHING: "all bytes are here, Glance is finishing",
}
_STEP = 1024


def size(number: int) -> str:
    """Return bytes in the largest binary unit that gives at least 1."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < _STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return f"{value:.1f} PiB"


def phase(event: CopyProgress) -> str:
    """Return where a copy is."""
    words = _PHASES[event.phase]
    if event.phase is Phase.STORING and event.total:
        return f"{words}: {size(event.present)} of {size(event.total)}"
    return words


def printable(text: str) -> str:
    """Return `text` as one line that does nothing to a terminal.

    Names come from whoever uploaded the image; they may hold control characters.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def sentence(event: Event) -> str:
    """Return one event as one line."""
    return printable(_said(event))


def _said(event: Event) -> str:
    match event:
        case CopyProgress() | CopyAsked() | CopyJoined() | CopyFinished():
            return _copy(event)
        case BaseFound(base, copied):
            here = "is here now" if copied else "is here, no copy needed"
            return f"base: image {base.image} {here} ({base.where})"
        case LookFailed(image, error, times):
            return f"image {image}: no answer, look {times}, going on: {error}"
        case GuestStarted(name, disk):
            return f"guest {name} runs on disk {disk.name}"
        case Warned(text):
            return f"warning: {text}"
        case DiskMade() | DiskAdopted() | DiskGrown() | DiskDeleted() | DiskBusy():
            return _disk(event)


def _copy(event: CopyProgress | CopyAsked | CopyJoined | CopyFinished) -> str:
    match event:
        case CopyAsked(image, store):
            return (
                f"image {image.name or image.id} is not in {store}: asked Glance to "
                f"copy it from {', '.join(sorted(image.stores))}"
            )
        case CopyJoined(image, store):
            return (
                f"image {image.name or image.id} is being copied to {store} already: "
                f"following that copy"
            )
        case CopyFinished(_, store, seconds):
            return f"copied to {store} in {seconds:.1f} s"
        case CopyProgress():
            return f"{event.store}: {phase(event)} ({event.elapsed:.0f} s)"


def _disk(event: DiskMade | DiskAdopted | DiskGrown | DiskDeleted | DiskBusy) -> str:
    match event:
        case DiskBusy(_, error, seconds):
            return f"{error}; trying again in {seconds:g} s"
        case DiskMade(disk):
            return f"disk {disk.name}: {size(disk.size)}, clone of {disk.base}"
        case DiskAdopted(disk):
            return (
                f"disk {disk.name} was there, made by an earlier call and unwritten: "
                f"using it"
            )
        case DiskGrown(disk):
            return f"disk {disk.name} is {size(disk.size)} now"
        case DiskDeleted(disk):
            return f"disk {disk.name} is deleted"
