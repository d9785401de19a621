"""Free ports of the loopback address."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.processes import Process, running

HOST = "127.0.0.1"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"


def is_free(port: int) -> bool:
    """Tell whether a program could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def first_free(blocks: Iterable[range]) -> range:
    """Return the first block of ports that are all free.

    Raises:
        LabError: There is none.
    """
    tried = list(blocks)
    for block in tried:
        if all(is_free(port) for port in block):
            return block
    message = (
        f"No ports are free for the lab between {tried[0].start} and "
        f"{tried[-1].stop - 1}."
    )
    raise LabError(message)


def holder(port: int) -> str:
    """Return which program listens there, as far as it can be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in running():
        if sockets & set(_opened(process)):
            name = Path(process.arguments[0]).name
            return f"{name} (process {process.pid})"
    return "a program that only root can see"


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen there."""
    for table in _TABLES:
        with suppress(OSError):  # a kernel without IPv6
            for line in table.read_text().splitlines()[1:]:
                words = line.split()
                own, state, inode = words[1], words[3], words[9]
                if state == _LISTENS and int(own.rpartition(":")[2], 16) == port:
                    yield inode


def _opened(process: Process) -> list[str]:
    """Return what a process has open; nothing where that is not ours to see."""
    try:
        opened = [*Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        return []
    found: list[str] = []
    for each in opened:
        with suppress(OSError):  # closed meanwhile
            found.append(str(each.readlink()))
    return found
