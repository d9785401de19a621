"""The libvirt secrets with which QEMU opens a compute host's disks."""

import tempfile
from pathlib import Path

from lab.ceph_cluster import Cluster
from lab.files import write
from lab.libvirtd import Libvirtd
from lab.programs import clean_environment, need, run

COMPUTE_USER = "cowpath"

_PRIVATE = 0o600

# libvirt gives a private secret's value to nobody but its own drivers.
_DEFINITION = """\
<secret ephemeral='no' private='yes'>
  <uuid>{uuid}</uuid>
  <usage type='ceph'><name>{name}</name></usage>
</secret>
"""


def define_secret(
    cluster: Cluster, libvirtd: Libvirtd, user: str = COMPUTE_USER
) -> None:
    """Have libvirtd know the key of a cluster's compute hosts.

    Args:
        cluster: Whose key.
        libvirtd: Who is to know it; waits until it answers.
        user: As whom they come.

    Raises:
        LabError: It does not answer.
    """
    uuid = cluster.identity.secret_uuid
    libvirtd.wait()
    name = f"client.{user} of cluster {cluster.name}"
    with tempfile.TemporaryDirectory(dir=cluster.run_folder) as folder:
        # In files of our own: everybody may read a command line.
        definition, key = Path(folder) / "secret.xml", Path(folder) / "key"
        write(definition, _DEFINITION.format(uuid=uuid, name=name))
        write(key, cluster.key(user), mode=_PRIVATE)
        virsh = [need("virsh"), "--quiet", "--connect", libvirtd.uri]
        env = clean_environment(cluster.run_folder)
        run([*virsh, "secret-define", str(definition)], env=env)
        run([*virsh, "secret-set-value", uuid, "--file", str(key)], env=env)
