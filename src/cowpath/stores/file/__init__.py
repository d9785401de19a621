"""Disks as qcow2 overlays on the raw files of Glance's own file store."""
