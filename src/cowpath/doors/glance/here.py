"""This glance-api's stores and settings, from what Glance has read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from oslo_config import cfg
from oslo_log import log as logging

from cowpath.clock import SystemClock
from cowpath.copying import CopySettings, CopyStore, load
from cowpath.core.errors import ConfigError
from cowpath.core.model import StoreName
from cowpath.core.ports import Clock
from cowpath.doors.glance.backends import names, stores
from cowpath.doors.glance.drafts import Drafts
from cowpath.doors.glance.files import read_by_glance
from cowpath.doors.glance.progress import Watch
from cowpath.doors.glance.records import Records
from cowpath.doors.glance.servers import is_ending
from cowpath.wiring import Copying, copying

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_STAGING = "os_glance_staging_store"
_COPIES = ".cowpath"
_ELSEWHERE = Path("/var/lib/glance/cowpath")
"""Where no directory for staging is set."""

_lock = threading.Lock()
_known: dict[tuple[object, ...], "Here"] = {}
_parents: list[object] = []
"""What a process has from the one that it was forked from: closing it would hang."""


@dataclass(frozen=True, slots=True)
class Here:
    """This host's glance-api.

    Attributes:
        settings: What its files say of copies.
        stores: What those are made of that we copy between.
        copying: The verb, and the stores that it works on.
        records: Which copies run on this host.
        drafts: What copies of this host left in stores.
        watch: Whom the verb tells how far it is.
    """

    settings: CopySettings
    stores: Mapping[StoreName, CopyStore]
    copying: Copying
    records: Records
    drafts: Drafts
    watch: Watch
    clock: Clock

    @staticmethod
    def is_stopping() -> bool:
        """Tell whether this process ends."""
        return is_ending()


def here() -> Here:
    """Return this glance-api's stores and settings: the same ones for everybody.

    Raises:
        ConfigError: The configuration says something that cannot be.
    """
    settings, found = _settings(tuple(read_by_glance())), stores()
    key = (settings.key, _folder(settings), *found.values())
    with _lock:
        if key not in _known:
            _known[key] = _made(settings, found)
        return _known[key]


def forget() -> None:
    """Have this process make its own, not those of the one it was forked from."""
    _parents.append({**_known})
    _known.clear()


@cache
def _settings(files: tuple[str, ...]) -> CopySettings:
    """Return what files say, as at the start: Glance reads its own no more either."""
    settings = load(files)
    limits = {name for each in settings.limits for name in (each.source, each.target)}
    strangers = {*settings.costs, *limits} - {*names(), "*"}
    if strangers:
        raise ConfigError(
            f"[cowpath] source_costs and bandwidth name {', '.join(sorted(strangers))}:"
            f" no such store in enabled_backends, which has "
            f"{', '.join(sorted(names()))}"
        )
    return settings


def _made(settings: CopySettings, found: Mapping[StoreName, CopyStore]) -> Here:
    watch = Watch(Here.is_stopping)
    return Here(
        settings,
        found,
        copying(found, settings, watch),
        Records(_folder(settings)),
        Drafts(_folder(settings)),
        watch,
        SystemClock(),
    )


def _folder(settings: CopySettings) -> Path:
    if settings.copies_dir:
        return Path(settings.copies_dir)
    staging = CONF[_STAGING].filesystem_store_datadir
    return Path(staging, _COPIES) if staging else _ELSEWHERE
