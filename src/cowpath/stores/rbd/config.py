"""What an RBD store must be told."""

from dataclasses import dataclass

from cowpath.core.errors import ConfigError
from cowpath.core.model import Seconds, StoreName

_SLACK: Seconds = 5.0


@dataclass(frozen=True, slots=True)
class RbdConfig:
    """Which cluster, pools and user.

    Attributes:
        store: The Glance store that this is.
        pool: Where disks are made (Nova's `images_rbd_pool`).
        images_pools: Where Glance keeps images; locations in other pools are not
            trusted. The first is looked in where Glance hides locations.
        conf: ceph.conf of the cluster; empty: librados' own default.
        user: The cephx user without `client.`; empty: librados' own default.
        secret: UUID of libvirt's secret with the user's key; empty: none.
        connect_timeout: Seconds to wait for the monitors.
        op_timeout: Seconds to wait for an OSD or a monitor to answer one operation.
        any_images_pool: A location in another pool is trusted too, where all else of
            it is the image's own: nobody said where Glance keeps images.
        makes_disks: Disks are made here; not where Nova makes them.
        repair_user: The cephx user that may move leftovers among Glance's images to
            the trash, and is used for nothing else; empty: `user`.
    """

    store: StoreName
    pool: str
    images_pools: tuple[str, ...]
    conf: str = ""
    user: str = ""
    secret: str = ""
    connect_timeout: Seconds = 5
    op_timeout: Seconds = 30
    repair_user: str = ""
    any_images_pool: bool = False
    makes_disks: bool = True

    @property
    def surely_over(self) -> Seconds:
        """Seconds after which who waited for one operation has given up."""
        return self.op_timeout + _SLACK

    def __post_init__(self) -> None:
        """Check names and bounds.

        Raises:
            ConfigError: A pool is missing, or a bound is not one.
        """
        for pool in (self.pool, *self.images_pools):
            if not pool or any(mark in pool for mark in "/@ \n\0"):
                raise ConfigError(f"{pool!r} is no name of a pool")
        if not self.images_pools:
            raise ConfigError("no pool of images is named: set images_pool")
        if self.makes_disks and self.pool in self.images_pools:
            raise ConfigError(
                f"images_rbd_pool and images_pool are both {self.pool}: disks need a "
                f"pool of their own, or Glance's images would be listed and deleted as "
                f"disks"
            )
        # 0 would mean for ever to librados.
        if self.connect_timeout <= 0 or self.op_timeout <= 0:
            raise ConfigError("timeouts of the Ceph client must be above 0")
