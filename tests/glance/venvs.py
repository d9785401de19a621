"""The releases of Glance that are tested, and a virtual environment for each."""

import os
from pathlib import Path

from tests.releases import Releases

RELEASES = Releases("glance", Path(__file__).parent)
ALL = RELEASES.every
"""Those that cowpath.doors.glance.seams names."""
CHOSEN = RELEASES.chosen(os.environ.get("GLANCE_RELEASES", ""), by_default=1)
"""GLANCE_RELEASES: numbers, with commas, or `all`; by default the newest."""
