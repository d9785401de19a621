"""Where Nova looks its classes up, and ours are put instead."""

from typing import Any

import nova.conf
import nova.config
import nova.service
import nova.storage.rbd_utils
import nova.virt.libvirt

from cowpath.doors.nova import ceph, compute, driver, seams

CONF = nova.conf.CONF


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
        nova.config.parse_args = _parse_args
    return unknown


_parse = nova.config.parse_args


def _parse_args(*args: Any, **kwargs: Any) -> None:
    """Read Nova's configuration, and write the log that nova-compute writes.

    oslo.log names the file in log_dir after the program's own.
    """
    _parse(*args, **kwargs)
    if CONF.log_dir and not CONF.log_file:
        CONF.set_default("log_file", "nova-compute.log")
