"""Boot an image: its base here, a disk of it, a guest on the disk."""

from collections.abc import Callable
from contextlib import ExitStack

from cowpath.core.events import GuestStarted
from cowpath.core.model import Bytes, Disk, DiskName, Guest, Image
from cowpath.core.ports import SitePorts
from cowpath.provision.disks import provide_disk, undo_disk


def boot_guest(
    image: Image,
    name: DiskName,
    here: SitePorts,
    *,
    memory: Bytes,
    size: Bytes | None = None,
    console: Callable[[bytes], None] | None = None,
) -> Disk:
    """Start a guest called `name` on a disk of the same name; return the disk.

    An error undoes what this call made: the guest, and the disk unless an earlier
    call had made it.

    Args:
        image: What to boot.
        name: The guest's and the disk's name.
        here: The site's ports.
        memory: Bytes of the guest.
        size: Bytes of the disk; None: the image's size.
        console: Is given what the guest writes to its serial console, from the
            first byte until the guest ends; None: return as soon as it runs.

    Raises:
        ConflictError: A disk or a guest of that name exists.
        CopyError: The image is not here and did not come.
        HypervisorError: libvirt or QEMU refuses the guest.
    """
    here.hypervisor.check_name(name)
    provided = provide_disk(image, name, here, size=size)
    disk = provided.disk
    with ExitStack() as undo:
        if provided.made:
            undo.callback(undo_disk, name, here)
        here.hypervisor.start(Guest(name, disk, memory, labels={"image": image.id}))
        undo.callback(here.hypervisor.discard, name)
        written = here.hypervisor.console(name) if console else iter(())
        here.hypervisor.resume(name)
        undo.pop_all()
    here.observer.tell(GuestStarted(name, disk))
    for chunk in written:
        if console:
            console(chunk)
    return disk
