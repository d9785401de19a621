"""The sockets in the wall: what the verbs need from the world.

Every implementation passes the suite of the same name in `cowpath.testing`. All
are safe to call from several threads. Any method that talks to a service may raise
`UnavailableError` (retryable) or `ForbiddenError`; other errors are listed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cowpath.core.errors import CowpathError
from cowpath.core.events import Event
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    Capacity,
    CopyAnswer,
    Disk,
    DiskName,
    Guest,
    Image,
    ImageId,
    Intake,
    Leftover,
    Patience,
    Seconds,
    StoreName,
)


class Clock(Protocol):
    """Monotonic time. The only way anything here waits."""

    def now(self) -> Seconds:
        """Return seconds since an arbitrary start."""
        ...

    def sleep(self, seconds: Seconds) -> None:
        """Block the caller."""
        ...


class Observer(Protocol):
    """Is told what happens. Must not raise, and must not block for long."""

    def tell(self, event: Event) -> None:
        """Take note of `event`."""
        ...


class Catalog(Protocol):
    """The image service. One call is one request, unless a page of a list is full."""

    def get(self, image: ImageId) -> Image:
        """Return the image as it is now.

        Raises:
            NotFoundError: There is no such image, or it is not ours to see.
        """
        ...

    def find(self, ref: str) -> Image:
        """Return the one image whose id or name is `ref`.

        Raises:
            NotFoundError: None has it.
            AmbiguousError: Several have that name; the message lists their ids.
        """
        ...

    def images(self) -> Iterator[Image]:
        """Yield every image that we may see."""
        ...

    def stores(self) -> tuple[StoreName, ...]:
        """Return the store ids that this Glance has, its default first.

        Raises:
            ConfigError: This Glance has no named stores (`enabled_backends`).
        """
        ...

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask with one request for copies in `stores` and return at once.

        A store that fails does not keep the others from succeeding. PRESENT if the
        image is in any of them already: then nothing was asked for the others.

        Safe to repeat: Glance takes one import per image at a time. After an
        `UnavailableError` it is unknown whether the request was accepted.

        Raises:
            NotFoundError: There is no such store, or the image is gone.
            UsageError: No store is named.
            ForbiddenError: The `copy_image` policy refuses us.
            QuotaError: A quota refuses it.
            UnsuitableError: Not active, or this Glance has copy-image switched off.
        """
        ...


class Bases(Protocol):
    """The clone sources in this site's store.

    Attributes:
        territory: What this store may read, for messages: a directory, a pool of a
            cluster with its fsid.
    """

    @property
    def territory(self) -> str:
        """Return what this store may read, in words."""
        ...

    def find_base(self, image: Image) -> Base | None:
        """Return the whole base of `image`; None while it is not here.

        By location where Glance shows it, else where the configuration puts it. A
        base whose size is not the image's is a copy in progress or a leftover: None.

        Raises:
            UntrustedError: Glance shows a location in this store that leads out of
                `territory` or to another image's bytes.
        """
        ...

    def arrival(self, image: Image) -> Arrival | None:
        """Return what has arrived of a copy in progress; None if nothing yet.

        Cheap, and takes no lock that could disturb the writer.
        """
        ...

    def leftover(self, image: Image) -> Leftover | None:
        """Return what lies where Glance would put `image`; None if nothing does.

        Whole or not, listed or not: whether it is a leftover, only Glance's word on
        the image tells.
        """
        ...

    def set_aside(self, leftover: Leftover, confirm: Callable[[], None]) -> str:
        """Move a leftover out of Glance's way; return how to see and restore it.

        Nothing is removed. It calls `confirm`, which raises where Glance has another
        word on the image by now, while the thing is still there; then, under a lock
        that other Cowpaths respect, it looks again whether it is the same and whether
        anything depends on it or has it open, and moves it.

        Raises:
            ConflictError: It has clones, or one of the same image lies aside already:
                a BusyError where somebody is at it.
            NotFoundError: It is gone, or is not what `leftover` says any more.
            NoSpaceError: The store has no room for the move.
            ForbiddenError: Our rights do not allow it.
            ConfigError: Where such things are kept is no directory of ours.
        """
        ...


class Disks(Protocol):
    """The VMs' disks in this site's store."""

    def clone(self, base: Base, name: DiskName, size: Bytes | None = None) -> Disk:
        """Make a copy-on-write disk of `base`, `size` bytes large, and mark it.

        Without `size` it is as large as the base, in whole sectors.

        All or nothing: after an error there is no disk of that name, after a kill
        none or one that `find_disk` shows with our mark, perhaps not yet grown.

        Raises:
            ConflictError: The name is taken.
            UsageError: `size` is smaller than the base.
            NotFoundError: The base is gone.
            NoSpaceError: The store is full; nothing is left behind.
        """
        ...

    def find_disk(self, name: DiskName) -> Disk | None:
        """Return the disk, or None if there is none of that name.

        Raises:
            ConflictError: Something that is no disk has the name.
        """
        ...

    def untouched(self, disk: Disk) -> bool:
        """Tell whether nobody has written to the disk and nobody has it open.

        Raises:
            BusyError: It is unwritten, but somebody has it open, or had it open when
                he was killed a moment ago.
        """
        ...

    def grow(self, disk: Disk, size: Bytes) -> Disk:
        """Make the disk `size` bytes large and return it as it is now.

        The same size is fine and does nothing.

        Raises:
            UsageError: `size` is smaller than the disk; disks never shrink.
            NotFoundError: The disk is gone.
            ConflictError: Somebody has it open.
        """
        ...

    def delete(self, name: DiskName) -> None:
        """Remove the disk; absent is fine. Its base stays usable for others.

        Raises:
            ConflictError: Somebody has it open: a BusyError where that may be a
                client that was killed a moment ago.
        """
        ...

    def disks(self, prefix: str = "") -> Iterator[Disk]:
        """Yield the disks whose names begin with `prefix`, in order of name."""
        ...


class Pool(Protocol):
    """The room in this site's store."""

    def capacity(self) -> Capacity:
        """Return how much there is and how much is free."""
        ...

    def intake(self) -> Intake:
        """Return what room images have, and what keeps the store from taking bytes."""
        ...


class Receiver(Bases, Pool, Protocol):
    """A store as copies come to it: its bases and its room."""


class Store(Receiver, Disks, Protocol):
    """A site's store: what `STORES` makes."""

    def close(self) -> None:
        """Let go of connections; the next call opens them again."""
        ...


class Way(Protocol):
    """How an image gets into a store."""

    def bring(self, image: Image) -> Base:
        """Bring `image`, which is not here, and return its base.

        Raises:
            CopyError: It did not come.
            ForbiddenError: We may not have it brought.
        """
        ...


class Placer(Protocol):
    """Brings an image into several stores, also other sites', with one request."""

    def place(
        self, image: Image, stores: Sequence[StoreName]
    ) -> Mapping[StoreName, Base | CowpathError]:
        """Bring `image` into `stores`; return each one's base, or why there is none."""
        ...

    def ask(self, image: Image, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask for copies in `stores`, where it is not yet, and do not follow them.

        Raises:
            NotFoundError: Glance has no such store.
            ForbiddenError: Policy or quota refuses the copy.
            NoSpaceError: It would leave this site's store too little room.
            LeftoverError: What a broken copy left there is in the way.
            CopyBusyError: Another import is running: nothing was asked.
        """
        ...


class Hypervisor(Protocol):
    """Runs guests, and says how it wants a disk described.

    `disk_xml` asks nobody; the others talk to the hypervisor.
    """

    def disk_xml(self, disk: Disk) -> str:
        """Return libvirt's `<disk>` element of `disk`."""
        ...

    def check_name(self, name: str) -> None:
        """Accept a name that no domain has yet, before anything is made for it.

        Raises:
            ConflictError: A domain of that name exists.
        """
        ...

    def start(self, guest: Guest) -> None:
        """Define a domain and start it paused; all or nothing.

        Raises:
            ConflictError: A domain of that name exists.
            HypervisorError: libvirt or QEMU refuses it.
        """
        ...

    def resume(self, name: str) -> None:
        """Let a paused domain run.

        Raises:
            NotFoundError: There is no such domain.
        """
        ...

    def console(self, name: str) -> Iterator[bytes]:
        """Attach to the domain's serial console, at once; yield what it writes.

        Attached before `resume`, it yields everything from the first byte on. Ends
        when the domain does.

        Raises:
            NotFoundError: There is no such domain.
        """
        ...

    def discard(self, name: str) -> None:
        """Stop and undefine the domain; absent is fine. Its disk stays."""
        ...


@dataclass(frozen=True, slots=True)
class SitePorts:
    """All that the verbs of one site need.

    Attributes:
        store: This site's Glance store.
        ways: How an image gets here, in the order they are tried.
        placer: How an image gets into other sites' stores.
        close: Lets go of every connection; the next call opens them again.
    """

    store: StoreName
    catalog: Catalog
    bases: Bases
    disks: Disks
    pool: Pool
    hypervisor: Hypervisor
    ways: tuple[Way, ...]
    placer: Placer
    patience: Patience
    clock: Clock
    observer: Observer
    close: Callable[[], None] = lambda: None
