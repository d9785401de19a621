"""The nouns: images, locations, bases, disks, patience. Frozen values."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType
from unicodedata import category

from cowpath.core.errors import UsageError

ImageId = NewType("ImageId", str)
StoreName = NewType("StoreName", str)
DiskName = NewType("DiskName", str)
Bytes = NewType("Bytes", int)
Seconds = float

SECTOR = 512
"""Bytes; disks are sized in whole sectors, as QEMU and RBD clients expect."""

_MAX_IMAGE_NAME = 255
_LEAST_MEMORY, _MOST_MEMORY = 1024**2, 1024**5
_USER_IN_URL = re.compile(r"(?<=//)[^/@]*@")
_CONTROL = {"Cc", "Cs"}
"""Unicode's control characters, and what Python makes of bytes that are not UTF-8."""
# Glance makes them lower-case, and takes a client's own with capitals too.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DISK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Without ASCII the Kelvin sign is a K, and every script's digits are digits.
_SIZE = re.compile(r"(\d{1,19})(?:([KMGTP])(?:iB|B)?|B)?", re.IGNORECASE | re.ASCII)


def image_id(text: str) -> ImageId:
    """Return `text` as a Glance image id.

    Raises:
        UsageError: It is no UUID, so it must not reach a path or URL.
    """
    if not _UUID.fullmatch(text):
        raise UsageError(f"{text!r} is not an image id (a UUID)")
    return ImageId(text)


def is_image_id(text: str) -> bool:
    """Tell whether `text` has the form of a Glance image id."""
    return _UUID.fullmatch(text) is not None


def image_ref(text: str) -> str:
    """Return `text` as an image id or name that can be asked for.

    Raises:
        UsageError: Empty, over 255 characters (Glance's limit), with control
            characters, or not UTF-8.
    """
    hostile = any(category(character) in _CONTROL for character in text)
    if not 1 <= len(text) <= _MAX_IMAGE_NAME or hostile:
        raise UsageError(
            f"{text[:80]!r} is not an image: give an image id, or a name of 1 to "
            f"{_MAX_IMAGE_NAME} characters without control characters"
        )
    return text


def disk_name(text: str) -> DiskName:
    """Return `text` as a disk name that is safe as a file and an RBD image name.

    Raises:
        UsageError: It has other characters than these, or is too long.
    """
    if not _DISK_NAME.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a disk name: use 1 to 200 letters, digits, '.', '_' "
            f"and '-', beginning with a letter or digit"
        )
    return DiskName(text)


def store_name(text: str) -> StoreName:
    """Return `text` as a Glance store id.

    Raises:
        UsageError: It cannot be one; Glance's lists are split at commas.
    """
    if not _STORE_NAME.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a Glance store id: use the names that "
            f"Glance's enabled_backends lists, such as edge1"
        )
    return StoreName(text)


def parse_bytes(text: str) -> Bytes:
    """Return bytes from `20G`, `512MiB` or `1073741824`; units are powers of 1024.

    Raises:
        UsageError: Not a number with such a unit, or zero.
    """
    match = _SIZE.fullmatch(text.strip())
    number, unit = match.groups() if match else ("0", None)
    size = int(number) * 1024 ** (" KMGTP".index(unit.upper()) if unit else 0)
    if not size:
        raise UsageError(f"{text!r} is not a size: use 20G, 512M or a number of bytes")
    return Bytes(size)


def parse_memory(text: str) -> Bytes:
    """Return a guest's memory in bytes from `512M` or `2GiB`.

    Raises:
        UsageError: Not a number with such a unit, under 1 MiB or over 1 PiB.
    """
    size = parse_bytes(text)
    if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
        raise UsageError(f"{text!r} is no memory size for a guest: use 512M, 4G, …")
    return size


def parse_size(text: str) -> Bytes:
    """Return a disk's bytes from `20G`, `512MiB` or `1073741824`.

    Raises:
        UsageError: Not a number with such a unit, zero, or not whole sectors.
    """
    return whole_sectors(parse_bytes(text))


def whole_sectors(size: int) -> Bytes:
    """Return `size` in bytes, unchanged.

    Raises:
        UsageError: It is not positive, over 2**62, or no multiple of 512.
    """
    if not 0 < size <= 2**62 or size % SECTOR:
        raise UsageError(
            f"{size} bytes is no disk size: need a multiple of {SECTOR} above 0"
        )
    return Bytes(size)


@dataclass(frozen=True, slots=True)
class Location:
    """One URL of an image's bytes, as Glance shows it.

    Attributes:
        url: `rbd://fsid/pool/image/snap` or `file:///path`. Outside input.
        store: The store Glance says it lies in; None if Glance does not say.
    """

    url: str
    store: StoreName | None = None

    @property
    def shown(self) -> str:
        """Return the URL without the key that some stores put into it."""
        return _USER_IN_URL.sub("", self.url)


@dataclass(frozen=True, slots=True)
class Image:
    """What Glance says about an image at one moment.

    Attributes:
        status: Glance's: queued, active, deactivated, …
        disk_format: raw, qcow2, …; None while nothing was uploaded.
        size: Bytes of the stored file; None while nothing was uploaded.
        min_disk: GiB that a disk of it must have.
        stores: Where Glance says the bytes are complete.
        importing: Where Glance says it is writing them. May be a stuck flag.
        failed: Where Glance's last attempt failed. Stale until the next attempt runs.
        lock: The task id that holds the import lock; None if nobody does.
        locations: Empty where Glance hides them.
        hash: `algorithm:hex` of the stored bytes; None if Glance has none.
        updated: When Glance last changed it, in ISO 8601; compares as text.
        idle: Seconds since Glance last changed it, by Glance's own clock; None if it
            does not say. Glance gives no sign while it stages.
    """

    id: ImageId
    name: str = ""
    status: str = "active"
    disk_format: str | None = "raw"
    size: Bytes | None = None
    min_disk: int = 0
    stores: frozenset[StoreName] = frozenset()
    importing: frozenset[StoreName] = frozenset()
    failed: frozenset[StoreName] = frozenset()
    lock: str | None = None
    locations: tuple[Location, ...] = ()
    hash: str | None = None
    visibility: str = "private"
    created: str = ""
    updated: str = ""
    idle: Seconds | None = field(default=None, compare=False)

    def is_being_copied_to(self, store: StoreName) -> bool:
        """Tell whether an import to `store` runs: `importing` alone may be stuck."""
        return bool(self.lock) and store in self.importing

    def is_in(self, store: StoreName) -> bool:
        """Tell whether Glance says that `store` has the whole image."""
        return store in self.stores and not self.is_being_copied_to(store)


@dataclass(frozen=True, slots=True)
class Base:
    """The clone source of an image in this site's store.

    Attributes:
        image: The Glance image that it holds.
        where: How the store names it (a path, `pool/image@snap`); for messages.
        size: Bytes; every disk made of it is at least as large.
        head: Its first 4096 bytes, or all of a smaller one; none where they cannot
            be read from here.
    """

    image: ImageId
    where: str
    size: Bytes
    head: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the local store shows of a copy in progress.

    Attributes:
        present: Bytes there so far.
        whole: True once the store shows all of it; Glance may not say so yet.
    """

    present: Bytes
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Leftover:
    """What lies where Glance would put an image that it does not list there.

    Glance refuses to write where something lies, so it blocks every later copy.

    Attributes:
        image: The Glance image that it is named after.
        where: How the store names it (a path, `pool/image`).
        present: Bytes of it.
        cure: The commands that take it away by hand, restorably where they can.
    """

    image: ImageId
    where: str
    present: Bytes
    cure: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What this site's store can take in of images.

    Attributes:
        free: Bytes that images may still take.
        ailments: What keeps it from taking bytes, in the store's own words, such as
            `POOL_FULL: 1 pool(s) full`; empty where nothing is seen.
    """

    free: Bytes
    ailments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """An image as Glance and this site's store show it.

    Attributes:
        base: Its base in this site's store; None if it is not here.
        arrival: What has arrived of a copy in progress; None if nothing.
        leftover: What lies here of it although Glance neither lists nor copies it.
        doubt: Why what Glance shows in our store cannot be trusted, or not be read.
    """

    image: Image
    base: Base | None = None
    arrival: Arrival | None = None
    leftover: Leftover | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where QEMU finds a file disk; formats are explicit, never probed.

    Attributes:
        path: The overlay.
        format: Its format.
        backing: The raw base below it; None if it stands alone.
    """

    path: str
    format: str = "qcow2"
    backing: str | None = None


@dataclass(frozen=True, slots=True)
class RbdHost:
    """A Ceph monitor's address."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class RbdSource:
    """Where QEMU finds an RBD disk.

    Attributes:
        hosts: The cluster's monitors.
        user: The cephx user; None where cephx is off.
        secret: UUID of libvirt's secret that holds the user's key.
    """

    pool: str
    image: str
    hosts: tuple[RbdHost, ...] = ()
    user: str | None = None
    secret: str | None = None


DiskSource = FileSource | RbdSource


@dataclass(frozen=True, slots=True)
class Disk:
    """A VM's disk, a copy-on-write clone of a base.

    Attributes:
        size: Bytes that the guest sees.
        used: Bytes that it costs beyond its base.
        image: The Glance image it was made of; None if that cannot be told.
        base: `Base.where` of its parent; None once it has none.
        marked: True if Cowpath made it (it bears our mark).
    """

    name: DiskName
    size: Bytes
    source: DiskSource
    used: Bytes = Bytes(0)
    image: ImageId | None = None
    base: str | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room in this site's store, in bytes."""

    total: Bytes
    free: Bytes


class CopyAnswer(StrEnum):
    """What Glance said when asked for a copy."""

    ACCEPTED = "accepted"
    BUSY = "busy"
    """Another import of this image holds the lock (409)."""
    PRESENT = "present"
    """Glance has the image in that store already (400)."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to follow a copy, how often to look, when to believe bad news.

    Attributes:
        timeout: Seconds from acceptance or joining until we stop; 0: no limit
            (Nova's `images_rbd_glance_copy_timeout`).
        poll: Seconds between looks at Glance, at most
            (Nova's `images_rbd_glance_copy_poll_interval`).
        queue: Seconds to wait for an import to another store. Glance itself holds
            a lock for 60 minutes (`upstream fact: _enforce_import_lock`).
        stall: Seconds without growth, after the first bytes arrived, that end the
            wait; 0: no such bound. More where what is left could all be zeros,
            which a thin store does not allocate.
        dead_lock: Seconds without a sign of life after which Glance is asked although
            the import lock is held; 0: never. Glance itself keeps a lock for 60
            minutes, and then hands it over even under a living, slow staging.
        grace: Seconds after acceptance during which a failure listed before our
            request is not believed: Glance clears it only when its task starts.
        first: Seconds until the first look after acceptance.
        steady: Seconds between looks while the arrival grows steadily.
        peek: Seconds between looks at our own store, which is next door.
        busy_retries: How often to try again with a disk that somebody has open
            (Nova's `rbd_destroy_volume_retries`); what a killed client of Ceph had
            open stays so for 30 seconds.
        busy_interval: Seconds between those tries.
    """

    timeout: Seconds = 600
    poll: Seconds = 15
    queue: Seconds = 3600
    stall: Seconds = 180
    dead_lock: Seconds = 0
    grace: Seconds = 30
    first: Seconds = 0.2
    steady: Seconds = 60
    peek: Seconds = 0.5
    busy_retries: int = 0
    busy_interval: Seconds = 5

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            UsageError: A value is negative, or an interval is zero.
        """
        intervals = self.poll, self.first, self.steady, self.peek, self.busy_interval
        if min(intervals) <= 0:
            raise UsageError(f"intervals must be above 0: {self}")
        bounds = self.timeout, self.queue, self.grace, self.stall, self.dead_lock
        if min(*bounds, self.busy_retries) < 0:
            raise UsageError(f"bounds must not be negative: {self}")


@dataclass(frozen=True, slots=True)
class Guest:
    """A small libvirt domain on one disk.

    Attributes:
        name: The domain's name; same rules as a disk name.
        memory: Bytes.
        labels: Facts kept in the domain's metadata (image id, …).
    """

    name: str
    disk: Disk
    memory: Bytes
    vcpus: int = 1
    labels: dict[str, str] = field(default_factory=dict)
