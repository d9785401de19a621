"""Where the bytes of an RBD image lie in its cluster; pure."""

from dataclasses import dataclass

from cowpath.core.model import Bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """How an image is cut into objects.

    Attributes:
        rbd_id: Its internal id.
        pool_id: Of the pool with the objects.
        prefix: What their names begin with.
        order: An object has 2**order bytes.
        size: Of the image.
        snapshot: The id of the snapshot that is read; None: the image as it is.
        striped: Its bytes are spread over several objects.
        layered: What it has no object for may be in a parent.
        is_base: It has this snapshot only, and that one is protected.
        features: librbd's, as bits.
    """

    rbd_id: str
    pool_id: int
    prefix: str
    order: int
    size: Bytes
    snapshot: int | None = None
    striped: bool = False
    layered: bool = False
    is_base: bool = False
    features: int = 0

    @property
    def object_size(self) -> int:
        """Return the bytes of an object."""
        return 1 << self.order

    @property
    def is_plain(self) -> bool:
        """Tell whether an object has a range of the image's bytes, whole."""
        return not self.striped and not self.layered

    def object_name(self, number: int) -> str:
        """Return the name of an object."""
        return f"{self.prefix}.{number:016x}"

    def is_like(self, other: "Layout") -> bool:
        """Tell whether the objects of both hold the same ranges."""
        both = self.is_plain and other.is_plain
        return both and (self.order, self.size) == (other.order, other.size)
