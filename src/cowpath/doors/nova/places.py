"""Where Nova looks its classes up, and ours are put instead."""

import nova.service
import nova.storage.rbd_utils
import nova.virt.libvirt

from cowpath.doors.nova import ceph, compute, driver, seams


def install() -> list[str]:
    """Put our classes in the place of Nova's, which looks them up by name.

    Returns:
        What this Nova does not have as we know it; then nothing was done.
    """
    unknown = seams.missing()
    if not unknown:
        nova.storage.rbd_utils.RBDDriver = ceph.RBDDriver
        nova.storage.rbd_utils.RBDVolumeProxy = ceph.RBDVolumeProxy
        nova.virt.libvirt.LibvirtDriver = driver.LibvirtDriver
        # Not its name in its module: by that it finds its own base class.
        ours = f"{compute.__name__}.{compute.ComputeManager.__name__}"
        nova.service.SERVICE_MANAGERS["nova-compute"] = ours
    return unknown
