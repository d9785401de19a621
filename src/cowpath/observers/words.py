"""Events and sizes in plain words."""

from math import isfinite

from cowpath.core.events import (
    BaseFound,
    CopyAsked,
    CopyFailed,
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
    LeftoverSetAside,
    LookFailed,
    Phase,
    Warned,
)
from cowpath.core.model import Seconds

_PHASES = {
    Phase.LOOKING: "looking at what lies here",
    Phase.STAGING: "Glance is staging it",
    Phase.COPYING: "Glance is copying it, which cannot be seen from here",
    Phase.STORING: "arriving",
    Phase.FINISHING: "all bytes are here, Glance is finishing",
    Phase.VERIFYING: "all bytes are here, they are being verified",
}
_STEP = 1024
_SHORT, _LONG = 100, 6000
"""Seconds from which on a time is told in minutes, and in hours."""


def size(number: int) -> str:
    """Return bytes in the largest binary unit that gives at least 1."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < _STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return f"{value:.1f} PiB"


def duration(seconds: Seconds) -> str:
    """Return a time in the unit that says enough of it."""
    if seconds < _SHORT:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if seconds < _LONG:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def phase(event: CopyProgress) -> str:
    """Return where a copy is."""
    if event.phase is Phase.QUEUED:
        to = f", to {', '.join(sorted(event.behind))}," if event.behind else ""
        return f"waiting for another import of this image{to} to end"
    words = _PHASES[event.phase]
    if event.phase is not Phase.STORING:
        return words
    facts = ", ".join(filter(None, (arrived(event), pace(event))))
    return f"{words}: {facts}"


def arrived(event: CopyProgress) -> str:
    """Return how many bytes of a copy are there; nothing where none can be."""
    if event.phase not in (Phase.STORING, Phase.FINISHING):
        return ""
    return size(event.present) + (f" of {size(event.total)}" if event.total else "")


def pace(event: CopyProgress) -> str:
    """Return how fast a copy arrives and when it ends, as far as that is known."""
    if event.phase is not Phase.STORING:
        return ""
    rate, left = event.rate, event.left
    known = [f"{size(round(rate))}/s"] if rate is not None and isfinite(rate) else []
    known += [f"{duration(left)} left"] if left is not None and isfinite(left) else []
    return ", ".join(known)


def printable(text: str) -> str:
    """Return `text` as one line that does nothing to a terminal.

    Names come from whoever uploaded the image; they may hold control characters.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def printable_lines(text: str) -> str:
    """Return `text` with its line breaks, and nothing else that acts on a terminal."""
    return "\n".join(printable(line) for line in text.split("\n"))


def sentence(event: Event) -> str:
    """Return one event as one line."""
    return printable(_said(event))


def _said(event: Event) -> str:
    match event:
        case CopyProgress() | CopyAsked() | CopyJoined():
            return _copy(event)
        case CopyFinished() | CopyFailed() | LeftoverSetAside():
            return _ended(event)
        case BaseFound(base, copied):
            here = "is here now" if copied else "is here, no copy needed"
            return f"base: image {base.image} {here} ({base.where})"
        case LookFailed(image, error, times):
            return f"image {image}: no answer, look {times}, going on: {error}"
        case Warned(text):
            return f"warning: {text}"
        case _:
            return _disk(event)


def _copy(event: CopyProgress | CopyAsked | CopyJoined) -> str:
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
        case CopyProgress():
            return f"{event.store}: {phase(event)} ({event.elapsed:.0f} s)"


def _ended(event: CopyFinished | CopyFailed | LeftoverSetAside) -> str:
    match event:
        case LeftoverSetAside():
            return _moved(event)
        case CopyFinished(_, store, seconds):
            return f"copied to {store} in {seconds:.1f} s"
        case CopyFailed(image, store, error):
            # Whoever asked is told of the error itself, with its cure.
            return f"{store}: image {image} did not come ({type(error).__name__})"


def _moved(event: LeftoverSetAside) -> str:
    found = event.leftover
    return (
        f"what a broken copy of image {found.image} left at {found.where} "
        f"({size(found.present)}) blocked every copy to there and was moved out of the "
        f"way: {event.kept}"
    )


def _disk(
    event: DiskMade | DiskAdopted | DiskGrown | DiskDeleted | DiskBusy | GuestStarted,
) -> str:
    match event:
        case GuestStarted(name, disk):
            return f"guest {name} runs on disk {disk.name}"
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
