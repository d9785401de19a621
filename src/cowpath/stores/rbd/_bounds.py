"""How long a connection waits for a cluster; pure.

Measured on Ceph 16.2: only `client_mount_timeout` bounds connecting, only
`rados_osd_op_timeout` bounds I/O with a dead OSD, only `rados_mon_op_timeout` bounds
a command to dead monitors, and opening a pool that does not exist waits for the
monitors without any bound. The options are set on our own connection only, never in
QEMU's configuration: a guest's I/O must wait for its OSD.

A client asks where an OSD is only when a request is older than `objecter_timeout`, 10
seconds in Ceph. One killed with SIGKILL comes back on its old port unnoticed: where
requests end earlier than that, they fail for ever (seen with `rados_osd_op_timeout` 4).
"""

import math

from cowpath.stores.rbd.config import RbdConfig


def bounds(config: RbdConfig) -> dict[str, str]:
    """Return the options of Ceph's client that bound its calls."""
    # Newer releases take whole seconds only, and read 0 as for ever.
    operation = str(math.ceil(config.op_timeout))
    doubt = min(3.0, config.op_timeout / 3)
    return {
        "client_mount_timeout": str(math.ceil(config.connect_timeout)),
        "rados_osd_op_timeout": operation,
        "rados_mon_op_timeout": operation,
        "objecter_timeout": f"{doubt:g}",
        "objecter_tick_interval": f"{doubt / 3:g}",
    }
