"""What of Nova we put ourselves in the place of, and whether this Nova has it."""

import inspect
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Seam:
    """A function of Nova's that we replace or call.

    Attributes:
        module: Where it is.
        name: Its dotted name there.
        takes: Parameters that it must have, in this order, among others.
    """

    module: str
    name: str
    takes: tuple[str, ...]


_BACKEND = "nova.virt.libvirt.imagebackend"
_DRIVER = "nova.virt.libvirt.driver"
_MANAGER = "nova.compute.manager"
_RBD = "nova.storage.rbd_utils"

SEAMS = (
    Seam(_BACKEND, "Rbd.clone", ("self", "context", "image_id_or_uri")),
    Seam(_BACKEND, "Rbd.copy_to_store", ("self", "context", "image_meta")),
    Seam(_BACKEND, "Rbd.cache", ("self", "fetch_func", "filename")),
    Seam(_BACKEND, "Rbd.exists", ("self",)),
    Seam(_BACKEND, "Rbd.create_image", ("self", "prepare_template", "base")),
    Seam(
        _BACKEND, "Rbd._get_parent_pool", ("self", "context", "base_image_id", "fsid")
    ),
    Seam(_RBD, "RBDDriver._connect_to_rados", ("self", "pool")),
    Seam(_RBD, "RBDDriver._disconnect_from_rados", ("self", "client", "ioctx")),
    Seam(_RBD, "RBDDriver.exists", ("self", "name", "pool", "snapshot")),
    Seam(_RBD, "RBDDriver.get_mon_addrs", ("self", "strip_brackets")),
    Seam(_RBD, "RBDDriver.is_cloneable", ("self", "image_location", "image_meta")),
    Seam(
        _RBD,
        "RBDDriver.remove_snap",
        ("self", "volume", "name", "ignore_errors", "pool", "force"),
    ),
    Seam(_RBD, "RBDDriver.clone", ("self", "image_location", "dest_name")),
    Seam(_DRIVER, "LibvirtDriver.cache_image", ("self", "context", "image_id")),
    Seam(_DRIVER, "LibvirtDriver.spawn", ("self", "context", "instance")),
    Seam(_DRIVER, "LibvirtDriver.instance_on_disk", ("self", "instance")),
    Seam(
        _DRIVER,
        "LibvirtDriver.check_can_live_migrate_destination",
        ("self", "context", "instance"),
    ),
    Seam(
        _MANAGER,
        "ComputeManager._get_rescue_image",
        ("self", "context", "instance", "rescue_image_ref"),
    ),
    Seam(
        _MANAGER,
        "ComputeManager._prep_resize",
        ("self", "context", "image", "instance"),
    ),
    Seam(
        "nova.image.glance",
        "API.copy_image_to_store",
        ("self", "context", "image_id", "store"),
    ),
    Seam(
        "nova.image.glance",
        "API.get",
        ("self", "context", "include_locations"),
    ),
)


def missing(seams: tuple[Seam, ...] = SEAMS) -> list[str]:
    """Return what this Nova does not have as we know it, in words."""
    lacks = [said for said in map(_lack, seams) if said]
    managers = getattr(import_module("nova.service"), "SERVICE_MANAGERS", {})
    if managers.get("nova-compute") != f"{_MANAGER}.ComputeManager":
        lacks.append("nova.service.SERVICE_MANAGERS does not name the compute manager")
    return lacks


def _lack(seam: Seam) -> str:
    found: object = import_module(seam.module)
    for part in seam.name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        return f"{seam.module}.{seam.name} is not there"
    has = [name for name in inspect.signature(found).parameters if name in seam.takes]
    if has != list(seam.takes):
        known = ", ".join(seam.takes)
        return f"{seam.module}.{seam.name} does not take {known}"
    return ""
