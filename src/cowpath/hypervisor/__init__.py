"""Adapter: how a disk looks to libvirt, and a small guest on it."""
