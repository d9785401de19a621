"""The libvirt secrets with which QEMU opens a compute host's disks."""

import tempfile
from pathlib import Path

from lab.ceph_cluster import Cluster
from lab.errors import LabError
from lab.files import write
from lab.libvirtd import Libvirtd
from lab.programs import clean_environment, need, run
from lab.waiting import wait_until

COMPUTE_USER = "cowpath"

_LIBVIRTD_WITHIN_SECONDS = 60.0
_PRIVATE = 0o600

# libvirt gives a private secret's value to nobody but its own drivers.
_DEFINITION = """\
<secret ephemeral='no' private='yes'>
  <uuid>{uuid}</uuid>
  <usage type='ceph'><name>{name}</name></usage>
</secret>
"""


def define_secret(cluster: Cluster, libvirtd: Libvirtd) -> None:
    """Have libvirtd know the key of a cluster's compute hosts.

    Args:
        cluster: Whose key.
        libvirtd: Who is to know it; waits until it answers.

    Raises:
        LabError: It does not answer.
    """
    uuid = cluster.identity.secret_uuid
    if not wait_until(libvirtd.answers, within_seconds=_LIBVIRTD_WITHIN_SECONDS):
        message = f"libvirtd does not answer. Its log: {libvirtd.log}"
        raise LabError(message)
    name = f"client.{COMPUTE_USER} of cluster {cluster.name}"
    with tempfile.TemporaryDirectory(dir=cluster.run_folder) as folder:
        # In files of our own: everybody may read a command line.
        definition, key = Path(folder) / "secret.xml", Path(folder) / "key"
        write(definition, _DEFINITION.format(uuid=uuid, name=name))
        write(key, cluster.key(COMPUTE_USER), mode=_PRIVATE)
        virsh = [need("virsh"), "--quiet", "--connect", libvirtd.uri]
        env = clean_environment(cluster.run_folder)
        run([*virsh, "secret-define", str(definition)], env=env)
        run([*virsh, "secret-set-value", uuid, "--file", str(key)], env=env)
