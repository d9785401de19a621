"""What the copied images look like: how large, and where their data lie."""

from dataclasses import dataclass

_MIB = 1024**2
_GIB = 1024**3
_OBJECT = 8 * _MIB


@dataclass(frozen=True, slots=True)
class Shape:
    """How an image's data lie in it.

    Attributes:
        name: What the tables call it.
        size: Its bytes, holes included.
        piece: Bytes of data that lie together.
        pieces: How many of them; they are spread evenly.
    """

    name: str
    size: int
    piece: int
    pieces: int

    @property
    def data(self) -> int:
        """Return its bytes of data."""
        return self.piece * self.pieces

    def offsets(self) -> list[int]:
        """Return where the pieces begin, each at a whole number of pieces."""
        slots = self.size // self.piece
        return [
            number * slots // self.pieces * self.piece for number in range(self.pieces)
        ]


SPARSE = Shape("1 GiB with 304 MiB", _GIB, _OBJECT, 38)
LARGE = Shape("16 GiB with 1 GiB", 16 * _GIB, _MIB, 1024)
FULL = Shape("1 GiB, full", _GIB, _OBJECT, 128)
TWICE = Shape("2 GiB, full", 2 * _GIB, _OBJECT, 256)
HALF = Shape("512 MiB, full", _GIB // 2, _OBJECT, 64)
