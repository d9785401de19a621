"""This compute host's site, from the configuration that Nova has read."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nova.conf

from cowpath.config import DEFAULT_FILES, Config, load
from cowpath.doors.nova import threads
from cowpath.inside import Inside
from cowpath.observers.log import LogObserver
from cowpath.options import LIBVIRT, LIBVIRT_OPTS
from cowpath.wiring import inside

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# Nova starts its guests itself: what it was told of that is not read here.
_NOT_OURS = {"connection_uri": "", "virt_type": "kvm", "disk_cachemodes": []}

_BOUNDS = {
    "images_rbd_glance_copy_poll_interval": (1, 3600),
    "images_rbd_glance_copy_timeout": (0, None),
    "rbd_connect_timeout": (1, None),
}
"""Nova has none: 0 seconds between two polls are as many as the CPU allows."""

_STORE = "images_rbd_glance_store_name"
_UNSET = "unset"

_lock = threading.Lock()
_known: dict[tuple[object, ...], "Here"] = {}


@dataclass(frozen=True, slots=True)
class Here:
    """This host's site.

    Attributes:
        config: What it was made from.
        site: Its store, and the ways into it.
    """

    config: Config
    site: Inside

    @property
    def images_pool(self) -> str | None:
        """The pool where this site's Glance store keeps its images, if we were told."""
        return self._rbd.images_pools[0] if self.config.images_pool_told else None

    def trusts(self, pool: str) -> bool:
        """Tell whether images may lie in a pool.

        In any, unless the configuration names those that they lie in: what has an
        image's id for its name is that image.
        """
        return bool(self._rbd.any_images_pool or pool in self._rbd.images_pools)

    @property
    def _rbd(self) -> Any:
        return self.config.store


def configured() -> bool:
    """Tell whether this host has a Glance store that images are copied to."""
    return bool(CONF.libvirt.images_rbd_glance_store_name)


def here() -> Here:
    """Return this host's site: the same one for everybody.

    Raises:
        ConfigError: The configuration says something that cannot be.
    """
    key = tuple(_novas().values())
    with _lock:
        found = _known.get(key)
        if found is None:
            config = _read()
            site = inside(config, LogObserver(LOG), threads.offload, threads.native())
            found = _known[key] = Here(config, site)
        return found


def _read() -> Config:
    """Return what Nova's files say, with what Nova itself took from them."""
    own = [name for name in DEFAULT_FILES if Path(name).is_file()]
    return load([*_files(), *own], nova={**_NOT_OURS, **_novas()})


def out_of_bounds() -> list[str]:
    """Return what Nova's configuration has that is taken for something else."""
    novas = _novas()
    return [
        f"[{LIBVIRT}] {name} is {CONF.libvirt[name]}: taken for {novas[name]}"
        for name in _BOUNDS
        if name in novas and novas[name] != CONF.libvirt[name]
    ]


def _files() -> list[str]:
    folders = [Path(name) for name in CONF.config_dir or ()]
    dropped = [str(path) for each in folders for path in sorted(each.glob("*.conf"))]
    return [*(CONF.config_file or ()), *dropped]


def _novas() -> dict[str, Any]:
    """Return Nova's values of the options that are Nova's, within our bounds."""
    novas = {
        option.dest: _within(option.dest, CONF.libvirt[option.dest])
        for option in LIBVIRT_OPTS
        if option.dest in CONF.libvirt and option.dest not in _NOT_OURS
    }
    novas[_STORE] = novas[_STORE] or _UNSET
    return novas


def _within(name: str, value: Any) -> Any:
    lowest, highest = _BOUNDS.get(name, (None, None))
    if lowest is not None:
        value = max(lowest, value)
    return value if highest is None else min(highest, value)
