"""What a process holds: threads, descriptors, sockets, memory."""

import os
from dataclasses import dataclass
from pathlib import Path

_ESTABLISHED = "01"
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at one moment.

    Attributes:
        sockets: Inodes of its TCP sockets.
        memory: Resident bytes.
    """

    threads: int
    descriptors: int
    sockets: frozenset[str]
    memory: int

    def within(self, other: "Held", threads: int = 0, descriptors: int = 0) -> bool:
        """Tell whether it is no more than another, but for a few."""
        return (
            self.threads <= other.threads + threads
            and self.descriptors <= other.descriptors + descriptors
        )

    def __str__(self) -> str:
        """For figures that a test prints."""
        return (
            f"{self.threads} threads, {self.descriptors} descriptors, "
            f"{len(self.sockets)} TCP sockets, {self.memory >> 20} MiB"
        )


def held(process: int | str = "self") -> Held:
    """Return what a process holds now."""
    home = Path("/proc", str(process))
    return Held(
        threads=len(list((home / "task").iterdir())),
        descriptors=len(list((home / "fd").iterdir())),
        sockets=_tcp(home) & _open_sockets(home),
        memory=int((home / "statm").read_text().split()[1])
        * os.sysconf("SC_PAGE_SIZE"),
    )


def connections_to(port: int) -> frozenset[str]:
    """Return the inodes of this process' TCP connections to a port."""
    home = Path("/proc/self")
    return _tcp(home, port) & _open_sockets(home)


def _open_sockets(home: Path) -> frozenset[str]:
    found = set()
    for entry in (home / "fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue  # the one that lists the folder
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return frozenset(found)


def _tcp(home: Path, port: int | None = None) -> frozenset[str]:
    lines = (home / "net/tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return frozenset(
        row[9]
        for row in rows
        if row[3] in {_ESTABLISHED, _LISTEN}
        and port in {None, int(row[2].partition(":")[2], 16)}
    )
