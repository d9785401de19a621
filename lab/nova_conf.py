"""Nova's configuration files, as sections."""

from dataclasses import dataclass
from pathlib import Path

from lab.ceph_cluster import Cluster
from lab.ceph_users import VMS_POOL
from lab.glance_config import Sections, merge
from lab.keystone import login, token_check
from lab.manifest import compute_host

NOVA_USER = "nova"

# oslo.log's own list, and the line by which the lab knows that a service is ready.
_QUIET = {
    "WARN": (
        "amqp",
        "amqplib",
        "boto",
        "iso8601",
        "keystoneauth",
        "keystonemiddleware",
        "requests",
        "routes.middleware",
        "sqlalchemy",
        "stevedore",
        "taskflow",
        "urllib3.connectionpool",
        "urllib3.util.retry",
        "websocket",
    ),
    "INFO": (
        "dogpile.core.dogpile",
        "oslo.cache",
        "oslo.messaging",
        "oslo.privsep.daemon",
        "oslo_concurrency.lockutils",
        "oslo_messaging",
        "oslo_policy",
        "oslo_service",
    ),
    "DEBUG": ("nova.service",),
}


@dataclass(frozen=True, slots=True)
class Cloud:
    """What every service of Nova has to know of the others.

    Attributes:
        transport_url: Of RabbitMQ.
        auth_url: Of Keystone.
    """

    transport_url: str
    auth_url: str


def controller(home: Path, name: str, cloud: Cloud, databases: Sections) -> Sections:
    """Return what the API, the scheduler and the conductor read.

    Args:
        home: The service's folder.
        name: The service.
        cloud: The others.
        databases: Where the databases are.
    """
    more: Sections = {
        "DEFAULT": {"host": "controller", "my_ip": "127.0.0.1"},
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": token_check(cloud.auth_url),
        "quota": {"driver": "nova.quota.NoopQuotaDriver"},
        "scheduler": {"workers": "1", "discover_hosts_in_cells_interval": "10"},
        "conductor": {"workers": "1"},
        **databases,
    }
    return merge(_everybody(home, name, cloud), more)


def compute(home: Path, cloud: Cloud, cluster: Cluster, uri: str) -> Sections:
    """Return what a nova-compute reads, as an operator would have it.

    Args:
        home: The service's folder.
        cloud: The others.
        cluster: Its site's, whose name is the site's.
        uri: Of its libvirtd.
    """
    site = cluster.name
    more: Sections = {
        "DEFAULT": {
            "host": site,
            # An address of its own: by it Nova knows whether a disk has to move.
            "my_ip": f"127.0.1.{1 + sum(site.encode()) % 250}",
            "debug": "true",
            "compute_driver": "libvirt.LibvirtDriver",
            "instances_path": str(home / "instances"),
            # No guest of the lab listens to a power button.
            "shutdown_timeout": "2",
            "reserved_host_memory_mb": "0",
            "cpu_allocation_ratio": "32",
            "ram_allocation_ratio": "4",
            # Clones are thin, and the guests' images small.
            "disk_allocation_ratio": "32",
        },
        "workarounds": {"never_download_image_if_on_rbd": "true"},
        "libvirt": {
            **compute_host(site, uri),
            "cpu_mode": "none",
            "images_type": "rbd",
            "images_rbd_pool": VMS_POOL,
            "images_rbd_ceph_conf": str(cluster.client_conf),
            "rbd_user": NOVA_USER,
            "rbd_secret_uuid": cluster.identity.secret_uuid,
        },
    }
    return merge(_everybody(home, f"compute-{site}", cloud), more)


def privileged(program: str, conf: Path) -> Sections:
    """Return how a nova-compute run by root does what only root may: without sudo.

    Args:
        program: The privsep-helper of its environment.
        conf: Its configuration file.
    """
    helper = {"helper_command": f"{program} --config-file {conf}"}
    names = (
        "privsep",
        "nova_sys_admin",
        "privsep_osbrick",
        "vif_plug_linux_bridge_privileged",
        "vif_plug_ovs_privileged",
    )
    return {name: dict(helper) for name in names}


def _everybody(home: Path, name: str, cloud: Cloud) -> Sections:
    user = login(cloud.auth_url)
    levels = [f"{each}={level}" for level, names in _QUIET.items() for each in names]
    return {
        "DEFAULT": {
            "log_file": str(home / f"{name}.log"),
            "use_stderr": "false",
            "log_options": "false",
            "default_log_levels": ",".join(levels),
            "state_path": str(home / "state"),
            "transport_url": cloud.transport_url,
            # Two processors run everything, guests without KVM too.
            "rpc_response_timeout": "120",
            "allow_resize_to_same_host": "true",
            "heal_instance_info_cache_interval": "-1",
            "vif_plugging_is_fatal": "false",
        },
        "oslo_concurrency": {"lock_path": str(home / "locks")},
        "service_user": {"send_service_user_token": "true", **user},
        "glance": user,
        "placement": user,
        "neutron": user,
        "vnc": {"enabled": "false"},
        "spice": {"enabled": "false"},
    }
