"""A lab whose data lie in memory, for figures that are not its disk's."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
_MEMINFO = Path("/proc/meminfo")
_PREFIX = "cowpath-lab-"
# Two devices that are full, and what lies beside them.
_ROOM_BYTES = 17 * 1024**3
# Left to the daemons, and to whatever is measured.
_BESIDES_BYTES = 3 * 1024**3


def is_in_memory(path: Path) -> bool:
    """Tell whether a path leads there."""
    return path.resolve().is_relative_to(MEMORY)


def prepare(home: Path, say: Callable[[str], None], *, wanted: bool) -> None:
    """Make the folder of a lab in memory, where that is wanted and there is room.

    One that is there already stays where it is. What was in memory is gone when the
    machine was started again; the lab is made anew then, there.

    Args:
        home: The folder, a link afterwards.
        say: Is told why it comes to lie on the disk.
        wanted: Not: only a lab that was in memory is put there again.
    """
    if home.is_symlink():
        if not home.exists():
            home.unlink()
            _make(home)
    elif wanted and home.exists():
        say(f"{home} is on the disk: wipe the lab first to have it in memory")
    elif wanted and not _has_room():
        say(f"{home} comes to lie on the disk: there is too little room in memory")
    elif wanted:
        _make(home)


def prepare_beside(home: Path, lab: Path) -> None:
    """Make a folder that is not there yet in memory, if a lab is; else nothing."""
    if is_in_memory(lab):
        _make(home)


def remove(home: Path) -> None:
    """Remove the folder of a lab, wherever it is, as far as we may."""
    if home.is_symlink():
        shutil.rmtree(home.readlink(), ignore_errors=True)
        home.unlink()
    shutil.rmtree(home, ignore_errors=True)


def _make(home: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=MEMORY))
    # As any folder of a lab: guests run as somebody else.
    made.chmod(0o755)
    home.parent.mkdir(parents=True, exist_ok=True)
    home.symlink_to(made)


def _has_room() -> bool:
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    free = shutil.disk_usage(MEMORY).free
    return free >= _ROOM_BYTES and _available() >= _ROOM_BYTES + _BESIDES_BYTES


def _available() -> int:
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
