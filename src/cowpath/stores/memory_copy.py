"""The memory store as a copy's source and target."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cowpath.core.errors import BusyError, ConflictError, NoSpaceError, NotFoundError
from cowpath.core.model import Bytes, Image, ImageId, Location
from cowpath.core.rules import choose_location
from cowpath.core.transfer import Draft, Extent, Original, Terms
from cowpath.core.transfer_rules import runs, split
from cowpath.stores.memory import MemoryStore, filled


class MemoryImageStore:
    """Implements `core.transfer.ImageStore`.

    Attributes:
        memory: The store that it is of.
    """

    def __init__(self, memory: MemoryStore) -> None:
        self.memory = memory
        self._lock = threading.Lock()
        self._busy: set[ImageId] = set()
        self._published: set[ImageId] = set()

    @contextmanager
    def original(self, image: Image, terms: Terms) -> Iterator[Original]:
        """Open the image that this store has."""
        store, mine = self.memory.store, self.memory.location(image.id)
        choose_location(image, store, lambda shown: shown.url == mine.url or None)
        data = self.memory.content(image.id)
        if data is None or len(data) != image.size:
            raise NotFoundError(f"{mine.url} is not there, or not whole: upload it")
        yield MemoryOriginal(self.memory, image.id, data, terms)

    @contextmanager
    def draft(self, image: Image, terms: Terms) -> Iterator[Draft]:
        """Begin a copy, or go on with an interrupted one."""
        with self._alone(image.id):
            resumed = self._begin(image)
            yield MemoryDraft(self, image.id, terms, resumed=resumed)

    def listed(self, image: Image) -> None:
        """Forget that the copy is ours."""
        self._published.discard(image.id)

    def withdraw(self, image: Image) -> None:
        """Remove the copy that we published."""
        self._check_unlisted(image)
        if self.memory.content(image.id) is None:
            return
        if image.id not in self._published or self.memory.has_disk_on(image.id):
            raise ConflictError(f"image {image.id} is another's, or a disk lies on it")
        self._published.discard(image.id)
        self.memory.remove(image.id)

    def publish(self, image: ImageId) -> Location:
        """Have the draft be the image."""
        self._clear_way(image)
        self.memory.put(image, bytes(self.memory.drafts.pop(image)))
        self._published.add(image)
        return self.memory.location(image)

    def check_room(self, image: ImageId, needed: int) -> None:
        """Accept `needed` bytes more."""
        if self.memory.capacity().free < needed:
            raise NoSpaceError(
                f"cannot write image {image}: {self.memory.territory} is full"
            )

    def discard(self, image: ImageId) -> None:
        """Remove the draft."""
        self.memory.drafts.pop(image, None)

    @contextmanager
    def _alone(self, image: ImageId) -> Iterator[None]:
        with self._lock:
            if image in self._busy:
                raise BusyError(f"image {image} is being copied to here: wait for it")
            self._busy.add(image)
        try:
            yield
        finally:
            self._busy.discard(image)

    def _begin(self, image: Image) -> bool:
        """Make the draft; return whether there was one."""
        self._check_unlisted(image)
        self._take_back(image)
        self._clear_way(image.id)
        draft = self.memory.drafts.get(image.id)
        if draft is not None and len(draft) == image.size:
            return True
        self.memory.drafts[image.id] = bytearray(image.size or 0)
        return False

    def _clear_way(self, image: ImageId) -> None:
        leftover = self.memory.leftover(Image(image))
        if leftover:
            self.memory.set_aside(leftover, lambda: None)

    def _check_unlisted(self, image: Image) -> None:
        here = self.memory.location(image.id).url
        shown = any(each.url == here for each in image.locations)
        if shown or self.memory.store in image.stores:
            raise ConflictError(f"Glance lists image {image.id} at {here}")

    def _take_back(self, image: Image) -> None:
        """Have a copy of ours that Glance does not list be a draft again."""
        data = self.memory.content(image.id)
        mine = image.id in self._published and self.memory.store not in image.stores
        if data is None or not mine or len(data) != image.size:
            return
        if self.memory.has_disk_on(image.id):
            raise ConflictError(f"a disk lies on image {image.id}: delete it first")
        self.memory.drafts[image.id] = bytearray(data)
        self.memory.remove(image.id)


class MemoryOriginal:
    """An image's bytes. Implements `core.transfer.Original`."""

    def __init__(
        self,
        memory: MemoryStore,
        image: ImageId,
        data: bytes | bytearray,
        terms: Terms,
    ) -> None:
        self._memory = memory
        self._image = image
        self._data = data
        self._terms = terms

    @property
    def where(self) -> str:
        """Return its URL."""
        return self._memory.location(self._image).url

    @property
    def size(self) -> Bytes:
        """Return how large it is."""
        return Bytes(len(self._data))

    def extents(self) -> Iterator[Extent]:
        """Yield what is not all zeros."""
        whole = [Extent(Bytes(0), self.size)]
        for piece in split(whole, self._terms.chunk):
            parts = runs(piece, self.read(piece))
            yield from (part for part, filled in parts if filled)

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of `extent`."""
        return bytes(self._data[extent.offset : extent.end])

    def unchanged(self) -> None:
        """Accept that the store has these bytes still."""
        if self._memory.content(self._image) != self._data:
            raise NotFoundError(f"{self.where} was removed or changed meanwhile")


class MemoryDraft(MemoryOriginal):
    """An image in the making. Implements `core.transfer.Draft`."""

    def __init__(
        self, store: MemoryImageStore, image: ImageId, terms: Terms, *, resumed: bool
    ) -> None:
        self._store = store
        self._bytes = store.memory.drafts[image]
        self.resumed = resumed
        super().__init__(store.memory, image, self._bytes, terms)

    def unchanged(self) -> None:
        """Accept that the store has it still."""
        if self._store.memory.drafts.get(self._image) is not self._bytes:
            raise NotFoundError(f"the draft of {self.where} was removed meanwhile")

    def present(self) -> Bytes:
        """Return how many bytes have arrived."""
        return filled(self._bytes)

    def take(self, original: Original) -> bool:
        """Copy the bytes of another image in memory at once."""
        if not isinstance(original, MemoryOriginal):
            return False
        whole = Extent(Bytes(0), self.size)
        self.write(whole, original.read(whole))
        return True

    def write(self, extent: Extent, data: bytes) -> None:
        """Put `data` at `extent`."""
        self._store.check_room(self._image, len(data.strip(b"\0")))
        self._bytes[extent.offset : extent.end] = data

    def differing(
        self, original: Original, extents: Iterable[Extent]
    ) -> Iterator[Extent] | None:
        """Yield those that are not as in another image in memory."""
        if not isinstance(original, MemoryOriginal):
            return None
        return (each for each in extents if self.read(each) != original.read(each))

    def publish(self) -> Location:
        """Have the draft be the image."""
        return self._store.publish(self._image)

    def discard(self) -> None:
        """Remove it."""
        self._store.discard(self._image)
