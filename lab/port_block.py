"""Ports of services that have to know each other's before they are started."""

from collections.abc import Sequence
from pathlib import Path

from lab.files import read, write
from lab.ports import HOST, first_free


class PortBlock:
    """A block of ports, chosen once and kept: databases hold URLs with them."""

    def __init__(self, record: Path, names: Sequence[str], first: int) -> None:
        """Know who shares it; nothing is chosen yet.

        Args:
            record: The file that keeps the choice.
            names: Who gets a port of the block.
            first: The first port of the first block.
        """
        self._record = record
        self._names = names
        self._first = first

    def port(self, name: str) -> int:
        """Return the port of a service."""
        first = int(read(self._record) or self._first)
        return first + self._names.index(name)

    def url(self, name: str, path: str = "") -> str:
        """Return the URL of a service."""
        return f"http://{HOST}:{self.port(name)}{path}"

    def ensure(self) -> None:
        """Choose the block where it has not been chosen.

        Raises:
            LabError: No block is free.
        """
        if not read(self._record):
            size = len(self._names)
            starts = range(self._first, self._first + 40 * size, size)
            block = first_free(range(start, start + size) for start in starts)
            write(self._record, f"{block.start}\n")
