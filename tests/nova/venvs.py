"""The releases of Nova that are tested, and a virtual environment for each."""

import os
from pathlib import Path

from tests.releases import Releases

_BY_DEFAULT = 3
_FIRST_WITH_THREADS = 33
"""Of Nova's releases; before it nova.storage.rbd_utils calls eventlet by name."""


RELEASES = Releases("nova", Path(__file__).parent)
ALL = RELEASES.every
"""Every release that runs on Python 3.11 and has images_rbd_glance_store_name."""
CHOSEN = RELEASES.chosen(os.environ.get("NOVA_RELEASES", ""), _BY_DEFAULT)
"""NOVA_RELEASES: numbers, or `all`; by default the newest."""


def modes(release: int) -> tuple[str, ...]:
    """Return the ways that a nova-compute of a release can run its work."""
    return ("threading", "eventlet")[release < _FIRST_WITH_THREADS :]


def environment(mode: str) -> dict[str, str]:
    """Return what makes Nova's tests run in a mode."""
    return {"OS_NOVA_DISABLE_EVENTLET_PATCHING": str(mode == "threading").lower()}
