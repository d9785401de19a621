"""Glance's stores that we can copy between, from Glance's own configuration."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from oslo_config import cfg

from cowpath.copying import CopyStore, FileImages, RbdImages
from cowpath.core.model import StoreName, store_name

CONF = cfg.CONF

_RESERVED = "os_glance_"
_MIB = 1024**2
# Glance means by -1 what librados itself waits: 5 minutes for the monitors.
_CONNECT_SECONDS = 30


class _Told:
    """A store's options; what its group does not say `[backend_defaults]` says.

    The driver takes the defaults out of the group, to see what was written there.
    """

    def __init__(self, group: str) -> None:
        self._group = group

    def __getattr__(self, option: str) -> Any:
        own = CONF[self._group][option]
        shared = CONF.backend_defaults if "backend_defaults" in CONF else {}
        return shared[option] if own is None and option in shared else own


def stores() -> dict[StoreName, CopyStore]:
    """Return those of Glance's stores that we can read and write, by their names.

    Raises:
        UsageError: A store has a name, or an option a value, that cannot be.
    """
    told = [
        _KINDS[kind](store_name(name), _Told(name))
        for name, kind in (CONF.enabled_backends or {}).items()
        if kind in _KINDS and not name.startswith(_RESERVED)
    ]
    made = [each for each in told if each is not None]
    places = Counter(each.place for each in made)
    # Of two names for one place, a copy to one would be taken for the other's.
    return {each.store: each for each in made if places[each.place] == 1}


def names() -> set[str]:
    """Return the names of all of Glance's stores, also of those that we cannot use."""
    return {*(CONF.enabled_backends or {})}


def _file(store: StoreName, told: _Told) -> FileImages | None:
    if told.filesystem_store_datadirs or told.filesystem_store_metadata_file:
        # Glance chooses a directory for each image, or says more of its location.
        return None
    # A number whose decimal digits are meant as octal ones.
    permissions = int(str(told.filesystem_store_file_perm or 0), 8)
    return FileImages(store, told.filesystem_store_datadir, permissions)


def _rbd(store: StoreName, told: _Told) -> RbdImages:
    wait = told.rados_connect_timeout
    return RbdImages(
        store,
        told.rbd_store_pool,
        conf=told.rbd_store_ceph_conf or "",
        user=told.rbd_store_user or "",
        order=(told.rbd_store_chunk_size * _MIB).bit_length() - 1,
        connect_timeout=wait if wait > 0 else _CONNECT_SECONDS,
    )


_KINDS: Mapping[str, Callable[[StoreName, _Told], CopyStore | None]] = {
    "file": _file,
    "rbd": _rbd,
}
