"""The clusters' configuration files, as text."""

from dataclasses import dataclass
from pathlib import Path

from lab.files import ini
from lab.memory import is_in_memory

HOST = "127.0.0.1"
# Below the ports that the kernel gives to outgoing connections.
FIRST_PORT = 17000
_PORTS_OF_A_CLUSTER = 40
_BLOCKS = 40
_FIRST_DAEMON_PORT = 2

_BLOCK_DEVICE_BYTES = 12 * 1024**3
_BLOCK_DEVICE_BYTES_IN_MEMORY = 8 * 1024**3
_OSD_CACHE_BYTES = 64 * 1024**2
_PLACEMENT_GROUPS = 8

# librbd waits for ever unless it is told not to, and each of these bounds what the
# others do not: connecting, a dead OSD, a command to dead monitors. An OSD that is
# only busy must not look dead: five seconds was too short for 16 writers on a disk.
CLIENT_BOUNDS = {
    "client_mount_timeout": "5",
    "rados_osd_op_timeout": "10",
    "rados_mon_op_timeout": "10",
    # A client asks for a new map only when a request is older than this, 10 s in Ceph
    # itself. An OSD killed with SIGKILL comes back under the same port with another
    # nonce: where requests end earlier than that, the client never hears of it, and
    # all its requests fail for ever (seen with 5 and 10 s; with these two, 3 s).
    "objecter_timeout": "3",
    "objecter_tick_interval": "1",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a cluster this cluster; chosen once.

    Attributes:
        fsid: Its own id.
        osd_uuid: The id of its only OSD.
        secret_uuid: The libvirt secret with its compute hosts' key.
        port: The first of its ports.
        host: The address of its daemons.
    """

    fsid: str
    osd_uuid: str
    secret_uuid: str
    port: int
    host: str = HOST

    @property
    def monitors(self) -> str:
        """Its monitor's addresses, of both protocols, as `mon_host` has them."""
        new, old = self.monitor_ports
        return f"[v2:{self.host}:{new}/0,v1:{self.host}:{old}/0]"

    @property
    def monitor_ports(self) -> tuple[int, int]:
        """Its monitor's, one for each protocol."""
        return self.port, self.port + 1

    @property
    def daemon_ports(self) -> tuple[int, int]:
        """The first and the last port for the OSD and the manager."""
        return self.port + _FIRST_DAEMON_PORT, self.port + _PORTS_OF_A_CLUSTER - 1


def port_blocks(which: int, clusters: int, first_port: int = FIRST_PORT) -> list[range]:
    """Return the blocks of ports from which a cluster may take one.

    Args:
        which: The cluster's number, from 0: no two clusters share a block.
        clusters: How many there are.
        first_port: Where the blocks of their kind of lab begin.
    """
    return [
        range(first, first + _PORTS_OF_A_CLUSTER)
        for first in (
            first_port + _PORTS_OF_A_CLUSTER * block
            for block in range(which, _BLOCKS, clusters)
        )
    ]


def daemons(folder: Path, identity: Identity) -> str:
    """Return the configuration of a cluster's own daemons.

    Args:
        folder: Where the cluster lies.
        identity: Which cluster.
    """
    first, last = identity.daemon_ports
    ports = {"ms_bind_port_min": str(first), "ms_bind_port_max": str(last)}
    return ini(
        {
            "global": _everybody(folder, identity),
            "mon": _monitor(folder),
            "mgr": {
                "mgr_data": str(folder / "mgr"),
                "keyring": str(folder / "mgr/keyring"),
                "mgr_stats_period": "1",
                **ports,
            },
            "osd": {**_osd(folder), **ports},
        }
    )


def _everybody(folder: Path, identity: Identity) -> dict[str, str]:
    return {
        "fsid": identity.fsid,
        "mon_host": identity.monitors,
        "public_network": f"{identity.host}/32",
        "auth_cluster_required": "cephx",
        "auth_service_required": "cephx",
        "auth_client_required": "cephx",
        "auth_allow_insecure_global_id_reclaim": "false",
        # Relative to the folder in which a daemon runs: a socket's path is short.
        "admin_socket": "$type.asok",
        "run_dir": str(folder / "run"),
        "crash_dir": str(folder / "log"),
        "log_file": str(folder / "log/$type.log"),
        "log_to_stderr": "false",
        "mon_cluster_log_to_file": "false",
        "osd_pool_default_size": "1",
        "osd_pool_default_min_size": "1",
        "osd_pool_default_pg_num": str(_PLACEMENT_GROUPS),
        "osd_pool_default_pgp_num": str(_PLACEMENT_GROUPS),
        "osd_pool_default_pg_autoscale_mode": "off",
        "osd_crush_chooseleaf_type": "0",
    }


def _monitor(folder: Path) -> dict[str, str]:
    return {
        "mon_data": str(folder / "mon"),
        "keyring": str(folder / "mon/keyring"),
        # Only what the manager never goes without: the others listen on ports.
        "mgr_initial_modules": "",
        "mon_allow_pool_size_one": "true",
        "mon_allow_pool_delete": "true",
        "mon_warn_on_pool_no_redundancy": "false",
        # The lab's disks are a laptop's: how full they are is not its business.
        "mon_data_avail_warn": "2",
        "mon_data_avail_crit": "1",
        # With a second, Ceph's own, a snapshot takes a second.
        "paxos_propose_interval": "0.05",
        "paxos_min_wait": "0.01",
    }


def _osd(folder: Path) -> dict[str, str]:
    device = (
        _BLOCK_DEVICE_BYTES_IN_MEMORY if is_in_memory(folder) else _BLOCK_DEVICE_BYTES
    )
    return {
        "osd_data": str(folder / "osd"),
        "keyring": str(folder / "osd/keyring"),
        "osd_objectstore": "bluestore",
        "osd_op_num_shards": "2",
        "osd_op_num_threads_per_shard": "2",
        "osd_max_scrubs": "0",
        # Of osd_heartbeat_grace, 20 s. An only OSD that was paused for longer than its
        # read lease never serves some of its groups again: "active+clean+laggy".
        "osd_pool_default_read_lease_ratio": "100",
        # For how long it tries to tell a monitor that is ending too.
        "osd_mon_shutdown_timeout": "1",
        "bluestore_block_create": "true",
        # Sparse, but in use it grows to this.
        "bluestore_block_size": str(device),
        "bluestore_block_db_create": "false",
        "bluestore_block_wal_create": "false",
        "bluestore_cache_autotune": "false",
        "bluestore_cache_size": str(_OSD_CACHE_BYTES),
    }


def client(folder: Path, identity: Identity, bounds: dict[str, str]) -> str:
    """Return the configuration of a host that uses a cluster.

    Args:
        folder: Where the users' keyrings lie.
        identity: Which cluster.
        bounds: How long to wait for what. QEMU gets none: a guest has to wait for
            its disk. (It reads no ceph.conf; libvirt tells it the monitors.)
    """
    return ini(
        {
            "global": {"fsid": identity.fsid, "mon_host": identity.monitors},
            "client": {
                "keyring": str(folder / "ceph.$name.keyring"),
                # They would lie in /var/log/ceph and /var/run/ceph.
                "log_file": "",
                "admin_socket": "",
                **bounds,
            },
        }
    )
