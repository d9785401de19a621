"""Whether somebody has a file open, as far as this host's kernel knows.

Glance takes no lock on what it writes. But the kernel gives a write lease
(F_SETLEASE in fcntl(2)) only while nobody else has the file open, to read or to
write. It knows its own host's processes only: a lease on a shared filesystem says
nothing of other hosts, so there it is not asked.
"""

import errno
import fcntl
import os
import shlex
import signal
from pathlib import Path

from cowpath.core.errors import BusyError, ForbiddenError
from cowpath.core.model import Seconds
from cowpath.core.ports import Clock

_LOCAL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs"}
    | {"xfs", "zfs"}
)
"""Filesystems that one host alone has mounted; the others may be shared."""

_TRIES = 4
_PAUSE: Seconds = 0.02
"""Between tries: Cowpaths that look for bases have a file open for microseconds."""


def check_closed(fd: int, path: Path, cure: str, clock: Clock) -> None:
    """Accept a file that nobody but `fd` has open.

    Args:
        fd: Has it open for reading.
        path: Its name, for the message.
        cure: What can be done by hand, for the message.
        clock: Waits for those who only look.

    Raises:
        BusyError: Somebody has.
        ForbiddenError: It cannot be told.
    """
    kind = _filesystem(fd)
    if kind not in _LOCAL:
        raise _cannot_tell(path, cure, f"filesystem {kind or 'unknown'}, maybe shared")
    try:
        is_closed = _is_closed(fd, clock)
    except OSError as error:
        raise _cannot_tell(path, cure, _reason(error)) from error
    if not is_closed:
        raise BusyError(
            f"{path} is left alone: somebody has it open: see who ({_who(path)}); "
            f"if Glance still writes it, or another Cowpath is setting it aside, wait "
            f"for that, and if Glance only forgot to close it, restart Glance; then "
            f"try again"
        )


def _is_closed(fd: int, clock: Clock) -> bool:
    for left in reversed(range(_TRIES)):
        try:
            _lease_and_release(fd)
        except BlockingIOError:
            if left:
                clock.sleep(_PAUSE)
        else:
            return True
    return False


def _lease_and_release(fd: int) -> None:
    # Whoever opens the file meanwhile has the kernel signal us: by SIGIO, which ends
    # a process that does not expect it, were it not told otherwise.
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    # At once, for whoever opens it waits for us.
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _filesystem(fd: int) -> str | None:
    """Return the type of the filesystem that `fd` is on; None if /proc is silent.

    By the mount's id: the device number of a btrfs subvolume is not its mount's.
    """
    try:
        facts = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
        table = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return None
    mount = next((each[1] for each in _fields(facts) if each[0] == "mnt_id:"), "")
    for line in table.splitlines():
        before, _, after = os.fsdecode(line).partition(" - ")
        if before.split(" ", 1)[0] == mount:
            return after.split(" ", 1)[0]
    return None


def _fields(facts: str) -> list[list[str]]:
    return [line.split() for line in facts.splitlines()]


def _reason(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"only its owner or root may ask, and this is user {os.geteuid()}"
    return error.strerror or str(error)


def _cannot_tell(path: Path, cure: str, why: str) -> ForbiddenError:
    return ForbiddenError(
        f"{path} is left alone: whether somebody has it open cannot be told here "
        f"({why}): make sure that nobody has, on any host that can write it "
        f"({_who(path)}), then move it by hand: {cure}"
    )


def _who(path: Path) -> str:
    return f"fuser -v {shlex.quote(str(path))}"
