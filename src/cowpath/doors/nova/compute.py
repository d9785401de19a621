"""Nova's compute manager, where what is refused must be refused before it begins.

Only the manager knows the image of a rescue before the guest is powered off, and the
host that a cold migration goes to before the one it comes from.
"""

from typing import Any

from nova import exception
from nova.compute import manager
from oslo_log import log as logging

from cowpath.doors.nova.driver import LibvirtDriver

LOG = logging.getLogger(__name__)


class ComputeManager(manager.ComputeManager):
    """Nova's manager, with two looks ahead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.driver, LibvirtDriver):
            LOG.warning(
                "Cowpath changes nothing here: compute_driver is %s, not "
                "libvirt.LibvirtDriver",
                manager.CONF.compute_driver,
            )

    def _get_rescue_image(
        self, context: Any, instance: Any, rescue_image_ref: str | None = None
    ) -> Any:
        """Return the image of a rescue once it is in this site's store."""
        found = super()._get_rescue_image(context, instance, rescue_image_ref)
        self._ahead("place_for_rescue", context, instance, found)
        return found

    def _prep_resize(
        self, context: Any, image: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Begin to move a server here, if its disk is in this host's cluster.

        Nova finds out after the guest was powered off on the host that it leaves.
        """
        try:
            self._ahead("check_disk_is_here", instance)
        except exception.MigrationPreCheckError as error:
            # The next host may be of the right site; else the server is as it was.
            raise exception.InstanceFaultRollback(inner_exception=error) from error
        return super()._prep_resize(context, image, instance, *args, **kwargs)

    def _ahead(self, look: str, *words: Any) -> None:
        """Have our driver look ahead; another one was warned of at the start."""
        if hasattr(self.driver, look):
            getattr(self.driver, look)(*words)
