"""Nova's libvirt driver, with our image backend for images_type rbd and its guards."""

from collections.abc import Mapping
from typing import Any

import nova.conf
import nova.context
from nova import block_device, exception, objects
from nova.compute import utils as compute_utils
from nova.virt.libvirt import driver
from oslo_log import log as logging

from cowpath.config import DEFAULT_FILES
from cowpath.core.errors import ConfigError, CowpathError
from cowpath.doors.nova.backend import Rbd
from cowpath.doors.nova.here import Here, configured, here, out_of_bounds

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_CLUSTER = "cowpath_cluster"
"""In a server's system metadata: the fsid of the cluster where it was built anew."""


class LibvirtDriver(driver.LibvirtDriver):
    """Nova's driver. Mended: image caching, rescue, moves between Ceph clusters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.image_backend.BACKEND["rbd"] = Rbd
        self._image_api: Any = RawImages(self._image_api)
        self._built_anew: set[str] = set()
        if _on_rbd():
            _introduce()
        else:
            LOG.warning(
                "Cowpath changes nothing here: [libvirt] images_type is %s, not rbd",
                CONF.libvirt.images_type,
            )

    def cache_image(self, context: Any, image_id: str) -> bool:
        """Have an image in this site's store; tell whether it had to be copied.

        Nova downloads it to a file that clones never look at.
        """
        if not _on_rbd() or not configured():
            return bool(super().cache_image(context, image_id))
        LOG.info("Placing image %s in this site's store by request", image_id)
        return _any_disk(self).bring(context, image_id)

    def place_for_rescue(self, context: Any, instance: Any, image_meta: Any) -> None:
        """Bring the image that a server is to be rescued with, while it still runs.

        Raises:
            InstanceNotRescuable: It did not come; the server was not touched.
        """
        if not _on_rbd() or not configured():
            return
        own = image_meta.id if image_meta.obj_attr_is_set("id") else None
        image = own or CONF.libvirt.rescue_image_id or instance.image_ref
        try:
            _any_disk(self).bring(context, image)
        except exception.NovaException as error:
            unacceptable = isinstance(error, exception.ImageUnacceptable)
            if unacceptable and not CONF.workarounds.never_download_image_if_on_rbd:
                LOG.warning("It will be downloaded: %s", error, instance=instance)
                return
            # First: Nova keeps 255 bytes of it.
            reason = f"The server was left as it was. {error.format_message()}"
            raise exception.InstanceNotRescuable(
                instance_id=instance.uuid, reason=reason
            ) from error

    def instance_on_disk(self, instance: Any) -> bool:
        """Tell whether an evacuated server's disk can be used here.

        Nova takes every RBD disk for one that can, and makes a new one of the image
        where it is not.

        Raises:
            InstanceFaultRollback: It cannot, and what was written to it would be lost:
                the server stays as it is.
        """
        try:
            self.check_disk_is_here(instance)
        except exception.MigrationPreCheckError as error:
            if here().config.evacuate_rebuilds and not self._is_stale(instance):
                LOG.warning("A new disk will be made: %s", error, instance=instance)
                self._built_anew.add(instance.uuid)
                return False
            # Short: Nova keeps 255 bytes of a fault.
            refused = exception.InvalidSharedStorage(
                path=f"The disk of {instance.uuid}",
                reason="it is in another Ceph cluster or pool, and what was written to "
                "it would be lost. "
                "[cowpath] evacuate_rebuilds on this host allows that.",
            )
            raise exception.InstanceFaultRollback(inner_exception=refused) from error
        return bool(super().instance_on_disk(instance))

    def spawn(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a server; note this cluster as the one of a server built anew here.

        Not before it runs: until then its disk is the one that it had.
        """
        made = super().spawn(context, instance, *args, **kwargs)
        anew = instance.uuid in self._built_anew
        self._built_anew.discard(instance.uuid)
        if _on_rbd() and (anew or _CLUSTER in instance.system_metadata):
            instance.system_metadata[_CLUSTER] = self._fsid()
            instance.save()
        return made

    def _is_stale(self, instance: Any) -> bool:
        """Tell whether what lies here was left by a server that was rebuilt elsewhere.

        Nova keeps the disks of a server that was evacuated away: it takes them for
        shared ones.
        """
        noted: str | None = instance.system_metadata.get(_CLUSTER)
        return noted is not None and noted != self._fsid()

    def _fsid(self) -> str:
        return str(_any_disk(self).driver.get_fsid())

    def check_can_live_migrate_destination(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Accept a live migration of a server whose disk this host can open.

        Raises:
            MigrationPreCheckError: It is in another cluster.
        """
        self.check_disk_is_here(instance)
        return super().check_can_live_migrate_destination(
            context, instance, *args, **kwargs
        )

    def check_disk_is_here(self, instance: Any) -> None:
        """Accept a server whose own disks are in this host's cluster.

        One whose disks are all volumes has none. Swap is made anew by every move.

        Raises:
            MigrationPreCheckError: They are in another cluster.
        """
        if not _on_rbd() or instance.launched_at is None:
            return
        wanted = _local_disks(instance)
        if wanted and self._is_stale(instance):
            raise exception.MigrationPreCheckError(reason=_stale(instance.uuid))
        for names in wanted:
            disks = [
                self.image_backend.by_name(instance, name, "rbd") for name in names
            ]
            if not any(disk.exists() for disk in disks):
                raise exception.MigrationPreCheckError(reason=_elsewhere(disks[0]))


def _local_disks(instance: Any) -> list[tuple[str, ...]]:
    """Return the disks that a server must have on its cluster, by their names.

    Each by the names that it may have: of ephemeral disks the first one will do.
    """
    context = nova.context.get_admin_context()
    mappings = objects.BlockDeviceMappingList.get_by_instance_uuid(
        context, instance.uuid
    )
    disks: list[tuple[str, ...]] = []
    # An image of a server on volumes has an image_ref too: only the mappings tell.
    if not compute_utils.is_volume_backed_instance(context, instance, mappings):
        disks.append(("disk",))
    if any(block_device.new_format_is_ephemeral(each) for each in mappings):
        disks.append(("disk.eph0", "disk.local"))
    elif instance.flavor.ephemeral_gb:
        disks.append(("disk.local", "disk.eph0"))
    return disks


def _elsewhere(disk: Any) -> str:
    # Short: Nova keeps 255 bytes of a fault.
    return (
        f"{disk.rbd_name} is not in pool {disk.driver.pool} here: its data is in "
        f"another Ceph cluster or pool. Choose a host of its own site."
    )


def _stale(server: str) -> str:
    return (
        f"what lies in this host's Ceph cluster of {server} is old, it was built anew "
        f"in another one: choose a host there, or move the old disks away first."
    )


class RawImages:
    """Nova's image API for a driver whose RBD snapshots are raw, whatever the option.

    With [libvirt] snapshot_image_format = qcow2 Nova labels raw bytes qcow2 when it
    registers a snapshot's location, and the image can never be cloned again.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def update(
        self, context: Any, image_id: str, image_info: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Update an image; one whose bytes are registered by location is raw."""
        if _is_rbd_location(image_info):
            # A copy: where this fails Nova uploads the format that was asked for.
            image_info = {**image_info, "disk_format": "raw"}
        return self._api.update(context, image_id, image_info, *args, **kwargs)


def _is_rbd_location(told: Mapping[str, Any]) -> bool:
    return str(told.get("location", "")).startswith("rbd://")


def _on_rbd() -> bool:
    return bool(CONF.libvirt.images_type == "rbd")


def _any_disk(libvirt: Any) -> Rbd:
    """Return a backend that is asked about images only; it stands for no disk."""
    found: Rbd = libvirt.image_backend.backend("rbd")(path="rbd:none/none")
    return found


def _introduce() -> None:
    """Say what runs here, or refuse to.

    Raises:
        InvalidConfiguration: Ours cannot be used.
    """
    try:
        site = here()
    except ConfigError as error:
        raise exception.InvalidConfiguration(f"Cowpath: {error}") from error
    for each in out_of_bounds():
        LOG.warning("%s", each)
    if not configured():
        LOG.warning(
            "Cowpath copies no images here: [libvirt] images_rbd_glance_store_name is "
            "not set"
        )
        return
    if not site.config.patience.timeout:
        LOG.warning("images_rbd_glance_copy_timeout is 0: copies are followed for ever")
    if not CONF.workarounds.never_download_image_if_on_rbd:
        LOG.warning(
            "[workarounds] never_download_image_if_on_rbd is off: an image that does "
            "not come is downloaded, and its disk is no clone"
        )
    LOG.info("Cowpath brings images to store %s", site.site.store)
    _look_at_pool(site)


def _look_at_pool(site: Here) -> None:
    """Say it now where copies could not be followed: servers are built all the same."""
    try:
        site.site.bases.intake()
    except ConfigError as error:
        LOG.error(  # noqa: TRY400  # the reason says it, its trace nothing
            "%s: set [cowpath] images_pool to the pool of Glance's store %s, in "
            "nova.conf or in %s",
            error,
            site.site.store,
            DEFAULT_FILES[0],
        )
    except CowpathError as error:
        LOG.warning("This site's cluster could not be looked at: %s", error)
