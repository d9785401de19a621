"""Who may do what in a cluster: the template for an operator's own users.

`caps` is the argument list of `ceph auth get-or-create client.NAME`. The pool names
are the lab's: `images` is Glance's, `vms` holds the compute hosts' disks.
"""

import base64
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

IMAGES_POOL = "images"
VMS_POOL = "vms"
POOLS = (IMAGES_POOL, VMS_POOL)

_AES = 1
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class User:
    """One user of a cluster.

    Attributes:
        purpose: Who it is for, in one sentence.
        caps: What it may do, by the kind of daemon it asks.
    """

    purpose: str
    caps: Mapping[str, str]


USERS: Mapping[str, User] = {
    "glance": User(
        "Glance: writes images and their snapshots, and nothing else.",
        {
            "mon": "profile rbd",
            "osd": f"profile rbd pool={IMAGES_POOL}",
            "mgr": f"profile rbd pool={IMAGES_POOL}",
        },
    ),
    # profile rbd-read-only lets a clone register with its parent (child_attach and
    # child_detach), which is all that a clone of format 2 writes beside it.
    "cowpath": User(
        "A compute host: clones images into disks, cannot change an image.",
        {
            "mon": "profile rbd",
            "osd": f"profile rbd pool={VMS_POOL}, "
            f"profile rbd-read-only pool={IMAGES_POOL}",
            "mgr": f"profile rbd pool={VMS_POOL}, "
            f"profile rbd-read-only pool={IMAGES_POOL}",
        },
    ),
    # Found by leaving out one after the other. To move an image to the trash and back,
    # librbd writes into these objects of the pool, and never into its data: the
    # image's name, the list of names, that of the trash, and the image's header, whose
    # lock it takes (the monitors' profile rbd lets it take that from a killed client).
    # cowpath.* holds the lock by which repairs keep out of each other's way. Any grant
    # to write to a pool's objects, whatever their prefix, has the monitors allow the
    # removal of its self-managed snapshots, which are those of its images.
    "cowpath-repair": User(
        "Repairs: moves what a broken copy left to the trash. Cannot write to images, "
        "but can destroy their snapshots and headers: for one host per site only.",
        {
            "mon": "profile rbd",
            "osd": f"profile rbd-read-only pool={IMAGES_POOL}, "
            f"allow wx pool={IMAGES_POOL} object_prefix rbd_id., "
            f"allow x pool={IMAGES_POOL} object_prefix rbd_directory, "
            f"allow x pool={IMAGES_POOL} object_prefix rbd_trash, "
            f"allow rwx pool={IMAGES_POOL} object_prefix rbd_header., "
            f"allow x pool={IMAGES_POOL} object_prefix cowpath.",
        },
    ),
    # What Nova's own documentation asks for, so that a direct snapshot can be made and
    # protected in Glance's pool. `cowpath` does with less.
    "nova": User(
        "Nova: clones images into disks, and makes images of them.",
        {
            "mon": "profile rbd",
            "osd": f"profile rbd pool={VMS_POOL}, profile rbd pool={IMAGES_POOL}",
            "mgr": f"profile rbd pool={VMS_POOL}, profile rbd pool={IMAGES_POOL}",
        },
    ),
    # The monitors' profile rbd-read-only would let it blocklist other clients. An
    # image's clones are looked for in every pool, whoever may read that pool.
    "cowpath-ro": User(
        "Someone who looks: lists and reads images and disks.",
        {
            "mon": "allow r",
            "osd": f"profile rbd-read-only pool={VMS_POOL}, "
            f"profile rbd-read-only pool={IMAGES_POOL}, "
            "allow class-read object_prefix rbd_children",
            "mgr": f"profile rbd-read-only pool={VMS_POOL}, "
            f"profile rbd-read-only pool={IMAGES_POOL}",
        },
    ),
}
"""Every user beside client.admin."""

# What Ceph itself asks for, as its manual deployment guide has it.
DAEMONS: Mapping[str, Mapping[str, str]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": {
        "mon": "allow *",
        "osd": "allow *",
        "mgr": "allow *",
        "mds": "allow *",
    },
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
}
"""The cluster's own entities."""


def entities() -> dict[str, Mapping[str, str]]:
    """Return the caps of everybody that a cluster knows from its first moment on."""
    clients = {f"client.{name}": user.caps for name, user in USERS.items()}
    return {**DAEMONS, **clients}


def new_key() -> str:
    """Return a new cephx key in the form that keyrings hold."""
    # Kind, seconds and nanoseconds of its making, length: all little-endian.
    header = struct.pack("<HIIH", _AES, 0, 0, _KEY_BYTES)
    return base64.b64encode(header + os.urandom(_KEY_BYTES)).decode()


def keyring(
    keys: Mapping[str, str], caps: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Return the text of a keyring.

    Args:
        keys: By entity.
        caps: By entity, where the monitors are to learn them from it.
    """
    blocks = []
    for entity, key in keys.items():
        may = caps[entity] if caps else {}
        lines = [f'    caps {kind} = "{words}"' for kind, words in may.items()]
        blocks.append("\n".join([f"[{entity}]", f"    key = {key}", *lines]))
    return "\n".join(blocks) + "\n"
