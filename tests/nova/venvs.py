"""The releases of Nova that are tested, and a virtual environment for each."""

import os
from pathlib import Path

from lab.layout import standard
from lab.venv import Venv

_LISTS = Path(__file__).with_name("releases")
_BY_DEFAULT = 3
_FIRST_WITH_THREADS = 33
"""Of Nova's releases; before it nova.storage.rbd_utils calls eventlet by name."""


def _all() -> tuple[int, ...]:
    return tuple(sorted((_number(path) for path in _LISTS.iterdir()), reverse=True))


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("nova-"))


def _chosen() -> tuple[int, ...]:
    told = os.environ.get("NOVA_RELEASES", "")
    if told == "all":
        return ALL
    named = tuple(int(each) for each in told.replace(",", " ").split())
    return named or ALL[:_BY_DEFAULT]


ALL = _all()
"""Every release that runs on Python 3.11 and has images_rbd_glance_store_name."""
CHOSEN = _chosen()
"""NOVA_RELEASES: numbers, or `all`; by default the newest."""


def modes(release: int) -> tuple[str, ...]:
    """Return the ways that a nova-compute of a release can run its work."""
    return ("threading", "eventlet")[release < _FIRST_WITH_THREADS :]


def environment(mode: str) -> dict[str, str]:
    """Return what makes Nova's tests run in a mode."""
    return {"OS_NOVA_DISABLE_EVENTLET_PATCHING": str(mode == "threading").lower()}


class NovaVenv(Venv):
    """The virtual environment of one release, in the lab's cache."""

    def __init__(self, release: int) -> None:
        name = f"nova-{release}"
        super().__init__(standard("nova").cache, name)
        self._requirements = _LISTS / f"{name}.txt"
