"""Libraries of the machine that an environment of ours sees, and no others.

Ceph's and libvirt's bindings have no wheels; the rest of the machine's Python would
be in the way of an environment's own versions.
"""

import sysconfig
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabError

CEPH = ("rados", "rbd")
LIBVIRT = ("libvirt", "libvirtmod")

_SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")


def link(folder: Path, names: Iterable[str]) -> None:
    """Make a folder with links to some of the machine's libraries.

    Args:
        folder: Which is to be on an environment's PYTHONPATH.
        names: What they are imported by.

    Raises:
        LabError: One is not there, or not for this Python.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        places = [_SYSTEM_PACKAGES / f"{name}{end}" for end in (suffix, ".py")]
        library = next((place for place in places if place.exists()), None)
        if library is None:
            message = (
                f"There is no {places[0]}: the binding is for the machine's own "
                "Python. Run the lab by it: /usr/bin/python3 -m lab up … "
                "(`python3 -m lab packages` says which package has it)."
            )
            raise LabError(message)
        link_to = folder / library.name
        link_to.unlink(missing_ok=True)
        link_to.symlink_to(library)
