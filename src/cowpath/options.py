"""The options that a site has, as oslo.config knows them.

Where nova.conf has an option already, its name and meaning are Nova's.
"""

from oslo_config import cfg

from cowpath.core.transfer import Verify
from cowpath.stores import STORES

GROUP = "cowpath"
COPY_GROUP = "cowpath_copy"
LIBVIRT = "libvirt"

LIBVIRT_OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "images_rbd_glance_store_name",
        default="",
        help="The Glance store id of this site, as Glance's enabled_backends names it. "
        "Nova's name; used for every kind of store.",
    ),
    cfg.IntOpt(
        "images_rbd_glance_copy_poll_interval",
        default=15,
        min=1,
        max=3600,
        help="Seconds between two looks at Glance while it copies an image, at most. "
        "The first looks come sooner.",
    ),
    cfg.IntOpt(
        "images_rbd_glance_copy_timeout",
        default=600,
        min=0,
        help="Seconds to follow a copy after Glance accepted it. 0: no limit, as in "
        "Nova. The copy goes on in Glance when we stop following.",
    ),
    cfg.StrOpt(
        "hw_disk_discard",
        choices=("ignore", "unmap"),
        help="Discard mode of disks; unset: the hypervisor's default.",
    ),
    cfg.StrOpt(
        "images_rbd_pool",
        default="rbd",
        help="store_kind rbd: the pool where disks are made.",
    ),
    cfg.StrOpt(
        "images_rbd_ceph_conf",
        default="",
        help="store_kind rbd: ceph.conf of this site's cluster; empty: librados' own "
        "default.",
    ),
    cfg.StrOpt(
        "rbd_user",
        help="store_kind rbd: the cephx user, without `client.`; unset: librados' own "
        "default.",
    ),
    cfg.StrOpt(
        "rbd_secret_uuid",
        help="store_kind rbd: UUID of libvirt's secret that holds the user's key.",
    ),
    cfg.IntOpt(
        "rbd_connect_timeout",
        default=5,
        min=1,
        help="store_kind rbd: seconds to wait for the monitors when connecting.",
    ),
    cfg.IntOpt(
        "rbd_destroy_volume_retries",
        default=12,
        min=0,
        help="store_kind rbd: how often to try again with a disk that is in use; what "
        "a killed client had open stays so for 30 seconds.",
    ),
    cfg.IntOpt(
        "rbd_destroy_volume_retry_interval",
        default=5,
        min=0,
        help="store_kind rbd: seconds between those tries, at least 1.",
    ),
    cfg.ListOpt(
        "disk_cachemodes",
        default=[],
        help="Cache modes by source type, such as file=none,network=writeback.",
    ),
    cfg.StrOpt(
        "connection_uri",
        default="",
        help="libvirt's connection URI; empty: qemu:///system.",
    ),
    cfg.StrOpt(
        "virt_type",
        default="kvm",
        choices=("kvm", "qemu"),
        help="How guests run: kvm, or qemu where the host has no KVM.",
    ),
)
"""Options that nova.conf already has; same names, same meanings."""

CREDENTIAL_OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "cloud",
        default="",
        help="A cloud of clouds.yaml; empty: OS_CLOUD or the OS_* variables, unless "
        "auth_type is set here.",
    ),
    cfg.StrOpt(
        "auth_type",
        default="",
        help="A keystoneauth plugin, such as v3password or "
        "v3applicationcredential; its options (auth_url, username, …) stand in this "
        "group too. Empty: clouds.yaml or the OS_* variables.",
    ),
    cfg.StrOpt(
        "endpoint_override",
        default="",
        help="The image service's root URL, without /v2; empty: the one of the "
        "service catalogue.",
    ),
    cfg.StrOpt("region_name", default="", help="The region of the image service."),
    cfg.StrOpt(
        "interface",
        default="",
        choices=("", "public", "internal", "admin"),
        help="Which endpoint of the service catalogue is used; empty: the cloud's, or "
        "public.",
    ),
)
"""Who we are to Glance, and which one it is."""

COWPATH_OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "store_kind",
        default="rbd",
        choices=tuple(STORES),
        help="What this site's Glance store is made of.",
    ),
    cfg.StrOpt(
        "images_dir",
        default="",
        help="store_kind file: the directory of this site's Glance store "
        "(filesystem_store_datadir).",
    ),
    cfg.StrOpt(
        "disks_dir",
        default="",
        help="store_kind file: where disks are made; on the same filesystem as "
        "images_dir, because bases are hard-linked.",
    ),
    cfg.StrOpt(
        "images_pool",
        default="images",
        help="store_kind rbd: the pool where this site's Glance store keeps images "
        "(rbd_store_pool). Locations in other pools are not trusted.",
    ),
    cfg.ListOpt(
        "more_images_pools",
        default=[],
        help="store_kind rbd: further pools of the cluster whose images are trusted.",
    ),
    cfg.IntOpt(
        "rbd_op_timeout",
        default=30,
        min=1,
        help="store_kind rbd: seconds to wait for an OSD or a monitor to answer. For "
        "Cowpath's own connection only, never for a guest's.",
    ),
    cfg.IntOpt(
        "copy_queue_timeout",
        default=3600,
        min=0,
        help="Seconds to wait for another import of the same image to end before "
        "asking for our own. Glance takes one at a time per image, and holds the lock "
        "of a dead one for 60 minutes.",
    ),
    cfg.IntOpt(
        "copy_grace",
        default=30,
        min=0,
        help="Seconds after acceptance during which a failure that Glance listed "
        "before is not believed: Glance clears it only when its task starts.",
    ),
    cfg.IntOpt(
        "copy_stall",
        default=180,
        min=0,
        help="Seconds without growth, after the first bytes arrived, that end the wait "
        "for a copy; 0: no such bound. Longer where what is left could all be zeros, "
        "which a thin store does not allocate: a second for each 100 MiB.",
    ),
    cfg.IntOpt(
        "pass_dead_lock_after",
        default=0,
        min=0,
        help="Seconds without a sign of life after which Glance is asked for a copy "
        "although an import lock is held. 0: never. Glance itself refuses for 60 "
        "minutes (120 if the task never began) and then hands the lock over, even "
        "under an import whose staging is alive and slow: set it only where staging "
        "an image never takes an hour.",
    ),
    cfg.StrOpt(
        "min_free",
        default="0",
        help="Bytes (100G, 1T) that a copy must leave free in this site's store; one "
        "that would leave less is not asked for. 0: no such guard.",
    ),
    cfg.BoolOpt(
        "set_aside_leftovers",
        default=False,
        help="Move what a broken copy left in this site's store out of Glance's way: "
        "into the RBD trash of images_pool, or below disks_dir. Only what Glance "
        "neither lists nor imports, and nobody has open or cloned; nothing is removed.",
    ),
    cfg.StrOpt(
        "repair_rbd_user",
        default="",
        help="store_kind rbd: the cephx user, without `client.`, that may move "
        "leftovers in images_pool to the trash; used for nothing else. Empty: "
        "rbd_user, which needs no such right otherwise.",
    ),
    cfg.BoolOpt(
        "evacuate_rebuilds",
        default=False,
        help="Inside nova-compute: evacuating a server to this host, when its disk is "
        "in another Ceph cluster, makes a new disk of its image instead of being "
        "refused. What was written to the old disk is not there then.",
    ),
    *CREDENTIAL_OPTS,
)
"""What Nova has no name for."""

COPY_OPTS: tuple[cfg.Opt, ...] = CREDENTIAL_OPTS
"""Credentials with which copies are asked for, where they are not the caller's."""


GLANCE_OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "unknown_glance",
        default="stock",
        choices=("stock", "refuse"),
        help="What becomes of a Glance that Cowpath does not know. stock: it runs as "
        "Glance's own, and an ERROR in its log says so. refuse: it does not start.",
    ),
    cfg.StrOpt(
        "verify",
        default="image",
        choices=tuple(Verify),
        help="What is proved of a copy before anybody can see it. image: its bytes "
        "have the hash that Glance has of the image. transfer: they are the source's. "
        "none: no more than the stores check themselves.",
    ),
    cfg.ListOpt(
        "source_costs",
        default=[],
        help="What reading a store costs, as STORE=NUMBER; images are copied from the "
        "cheapest store that has them, and from the next one if that fails. A store "
        "that is not listed costs 0.",
    ),
    cfg.ListOpt(
        "bandwidth",
        default=[],
        help="How much may flow from one store to another, as SOURCE:TARGET=BYTES a "
        "second (central:edge1=100M). * stands for any store; the first that fits "
        "counts. A pair that fits none is not limited.",
    ),
    cfg.IntOpt(
        "copy_lanes",
        default=16,
        min=1,
        max=32,
        help="Requests of one copy that are under way at once, of 4 MiB each at most: "
        "they bound a copy's memory.",
    ),
    cfg.StrOpt(
        "copies_dir",
        default="",
        help="Where running copies are noted, so that a glance-api that was killed "
        "goes on with them at its next start. On this host's own disk. Empty: "
        ".cowpath in the directory of os_glance_staging_store.",
    ),
)
"""What a glance-api is told of its copies, in the group `[cowpath]` of its files."""


def list_glance_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of glance-api's files, for oslo.config's generator."""
    return [(GROUP, list(GLANCE_OPTS))]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return our options by group, for oslo.config's generator and the docs."""
    return [
        (LIBVIRT, list(LIBVIRT_OPTS)),
        (GROUP, list(COWPATH_OPTS)),
        (COPY_GROUP, list(COPY_OPTS)),
    ]
