"""A site: the verbs bound to its ports. What the library and every door use."""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from cowpath.core.errors import CowpathError
from cowpath.core.model import (
    Base,
    Bytes,
    Capacity,
    CopyAnswer,
    Disk,
    Image,
    Sight,
    StoreName,
    disk_name,
    image_ref,
    parse_memory,
    parse_size,
    store_name,
)
from cowpath.core.ports import SitePorts
from cowpath.provision import boot, disks, place, survey

DEFAULT_MEMORY = Bytes(512 * 1024**2)


class Site:
    """One site's store, and what can be done with it.

    Images are named by id or unique name, sizes are bytes or text such as `20G`.
    Every method raises `CowpathError`s only; see `cowpath.core.errors`.
    """

    def __init__(self, ports: SitePorts) -> None:
        self._ports = ports

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and their threads; the next call opens them again."""
        self._ports.close()

    def __repr__(self) -> str:
        return f"Site({self.store}, {self._ports.bases.territory})"

    @property
    def store(self) -> StoreName:
        """This site's Glance store."""
        return self._ports.store

    def stores(self) -> tuple[StoreName, ...]:
        """Return the stores that Glance has, its default first."""
        return self._ports.catalog.stores()

    def images(self) -> Iterator[Sight]:
        """Yield every image, with what this site's store shows of it."""
        return survey.look_around(self._ports)

    def image(self, image: str) -> Sight:
        """Return the image with what this site's store shows of it.

        Raises:
            NotFoundError: There is no such image.
            AmbiguousError: Several have that name.
        """
        return survey.look_at(self._find(image), self._ports)

    def place(self, image: str, store: str | None = None) -> Base:
        """Return the image's base in `store` (this site's) once it is there.

        Raises:
            UnsuitableError: It is not active, not raw, or has no bytes.
            CopyError: It did not come.
        """
        target = self._store(store)
        return place.place_image(self._find(image), target, self._ports)

    def place_all(
        self, image: str, stores: Sequence[str]
    ) -> dict[StoreName, Base | CowpathError]:
        """Return the image's base in each of `stores`, or why it has none.

        One request to Glance copies to all that lack it.

        Raises:
            UnsuitableError: It is not active, not raw, or has no bytes.
        """
        targets = self._stores(stores)
        return place.place_all(self._find(image), targets, self._ports)

    def request_copy(self, image: str, store: str | None = None) -> CopyAnswer:
        """Ask Glance for a copy in `store` (this site's) and do not wait for it.

        Raises:
            ForbiddenError: Policy or quota refuses it.
            CopyBusyError: Another import of the image is running.
        """
        target = self._store(store)
        return self.request_copies(image, (target,))[target]

    def request_copies(
        self, image: str, stores: Sequence[str] = ()
    ) -> dict[StoreName, CopyAnswer]:
        """Ask Glance for copies in `stores` (this site's) and do not wait for them.

        Raises:
            ForbiddenError: Policy or quota refuses it.
            CopyBusyError: Another import of the image is running.
        """
        targets = self._stores(stores)
        return place.request_copies(self._find(image), targets, self._ports)

    def create_disk(self, image: str, name: str, size: str | int | None = None) -> Disk:
        """Return a copy-on-write disk of the image, placing that here first.

        Raises:
            UsageError: `name` or `size` cannot be one.
            ConflictError: The name is taken.
            UnsuitableError: No disk of that size can be made of the image.
        """
        checked, wanted = disk_name(name), _size(size)
        found = self._find(image)
        return disks.create_disk(found, checked, self._ports, size=wanted)

    def disk(self, name: str) -> Disk:
        """Return the disk called `name`.

        Raises:
            NotFoundError: There is none.
        """
        return disks.find_disk(disk_name(name), self._ports)

    def disks(self, prefix: str = "") -> Iterator[Disk]:
        """Yield the disks whose names begin with `prefix`, in order of name."""
        return self._ports.disks.disks(prefix)

    def grow_disk(self, name: str, size: str | int) -> Disk:
        """Make the disk `size` bytes large and return it.

        Raises:
            UsageError: `size` is smaller than the disk.
        """
        wanted = parse_size(str(size))
        return disks.grow_disk(disk_name(name), wanted, self._ports)

    def delete_disk(self, name: str) -> Disk:
        """Remove the disk and return what it was.

        Raises:
            NotFoundError: There is no such disk.
            ConflictError: A guest has it open.
        """
        return disks.delete_disk(disk_name(name), self._ports)

    def disk_xml(self, disk: Disk) -> str:
        """Return libvirt's `<disk>` element of `disk`."""
        return self._ports.hypervisor.disk_xml(disk)

    def boot(
        self,
        image: str,
        name: str,
        *,
        size: str | int | None = None,
        memory: str | int = DEFAULT_MEMORY,
        console: Callable[[bytes], None] | None = None,
    ) -> Disk:
        """Start a guest called `name` on a new disk of the image; return the disk.

        Args:
            image: Its id or unique name.
            name: The guest's and the disk's name.
            size: Of the disk; None: the image's.
            memory: Of the guest.
            console: Is given what the guest writes to its serial console until it
                ends; None: return as soon as it runs.
        """
        checked, wanted = disk_name(name), _size(size)
        ram = parse_memory(str(memory))
        found = self._find(image)
        return boot.boot_guest(
            found, checked, self._ports, memory=ram, size=wanted, console=console
        )

    def capacity(self) -> Capacity:
        """Return the room in this site's store."""
        return self._ports.pool.capacity()

    def _find(self, image: str) -> Image:
        return self._ports.catalog.find(image_ref(image))

    def _store(self, store: str | None) -> StoreName:
        return self.store if store is None else store_name(store)

    def _stores(self, stores: Sequence[str]) -> list[StoreName]:
        names = [store_name(store) for store in stores]
        return list(dict.fromkeys(names)) or [self.store]


def _size(size: str | int | None) -> Bytes | None:
    return None if size is None else parse_size(str(size))
