"""Kind rbd: disks are clones of the protected snapshots that Glance makes."""
