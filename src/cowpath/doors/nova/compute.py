"""Nova's compute manager, where what is refused must be refused before it begins.

Only the manager knows the image of a rescue before the guest is powered off, and the
host that a cold migration goes to before the one it comes from.
"""

from typing import Any

from nova import exception
from nova.compute import manager


class ComputeManager(manager.ComputeManager):
    """Nova's manager, with two looks ahead."""

    def _get_rescue_image(
        self, context: Any, instance: Any, rescue_image_ref: str | None = None
    ) -> Any:
        """Return the image of a rescue once it is in this site's store."""
        found = super()._get_rescue_image(context, instance, rescue_image_ref)
        self.driver.place_for_rescue(context, instance, found)
        return found

    def _prep_resize(
        self, context: Any, image: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Begin to move a server here, if its disk is in this host's cluster.

        Nova finds out after the guest was powered off on the host that it leaves.
        """
        try:
            self.driver.check_disk_is_here(instance)
        except exception.MigrationPreCheckError as error:
            # The next host may be of the right site; else the server is as it was.
            raise exception.InstanceFaultRollback(inner_exception=error) from error
        return super()._prep_resize(context, image, instance, *args, **kwargs)
