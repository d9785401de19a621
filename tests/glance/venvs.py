"""The releases of Glance that are tested, and a virtual environment for each."""

import os
from pathlib import Path

from lab.layout import standard
from lab.venv import Venv

_LISTS = Path(__file__).with_name("releases")


def _all() -> tuple[int, ...]:
    return tuple(sorted((_number(path) for path in _LISTS.iterdir()), reverse=True))


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("glance-"))


ALL = _all()
"""Those that cowpath.doors.glance.seams names."""
_ASKED = os.environ.get("GLANCE_RELEASES", "")
CHOSEN = (
    ALL if _ASKED == "all" else tuple(int(each) for each in _ASKED.split(",") if each)
) or ALL[:1]
"""GLANCE_RELEASES: numbers, with commas, or `all`; by default the newest."""


class GlanceVenv(Venv):
    """The virtual environment of one release, in the lab's cache."""

    def __init__(self, release: int) -> None:
        name = f"glance-{release}"
        super().__init__(standard("glance").cache, name)
        self._requirements = _LISTS / f"{name}.txt"
