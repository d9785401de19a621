"""Check the seams of the Nova that this is run by; write what was found as JSON.

A program for the virtual environment of a Nova release: `python seams_here.py FILE`.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import_module("nova.cmd.compute")  # decides between threads and eventlet

_DOOR = "cowpath.doors.nova"
_REPLACED = (
    ("nova.virt.libvirt.imagebackend", "Rbd", "backend"),
    ("nova.storage.rbd_utils", "RBDDriver", "ceph"),
    ("nova.virt.libvirt.driver", "LibvirtDriver", "driver"),
    ("nova.compute.manager", "ComputeManager", "compute"),
)


def found() -> dict[str, list[str]]:
    """Return what each look at this Nova shows."""
    seams = import_module(f"{_DOOR}.seams")
    places = import_module(f"{_DOOR}.places")
    known = {(each.module, each.name) for each in seams.SEAMS}
    overridden = list(_overridden())
    return {
        "missing": seams.missing(),
        "unlisted": [
            f"{module}.{name}"
            for module, name, *_ in overridden
            if (module, name) not in known
        ],
        "narrower": [
            f"{module}.{name}"
            for module, name, theirs, ours in overridden
            if not _takes_all(theirs, ours)
        ],
        "without a method": _with("clone", None, seams.missing),
        "with another signature": _with(
            "copy_to_store", lambda self, image_meta: (self, image_meta), seams.missing
        ),
        "refused": _with("clone", None, places.install),
        "ours after that": _installed(),
        "accepted": places.install(),
        "ours at last": _installed(),
    }


def _overridden() -> Iterator[tuple[str, str, Any, Any]]:
    """Yield each method of Nova's that we have one for: where, name, theirs, ours."""
    for module, cls, where in _REPLACED:
        novas = getattr(import_module(module), cls)
        for name, ours in vars(getattr(import_module(f"{_DOOR}.{where}"), cls)).items():
            if inspect.isfunction(ours) and name != "__init__" and hasattr(novas, name):
                yield module, f"{cls}.{name}", getattr(novas, name), ours


def _takes_all(theirs: Any, ours: Any) -> bool:
    """Tell whether each call that Nova's method takes fits ours."""
    first, *others = [
        each.name
        for each in inspect.signature(theirs).parameters.values()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    signature = inspect.signature(ours)
    try:
        signature.bind(first, *others)
        signature.bind(first, **dict.fromkeys(others))
    except TypeError:
        return False
    return True


def _with(name: str, changed: object, look: Callable[[], list[str]]) -> list[str]:
    """Return what is seen of a Nova whose image backend differs by one method."""
    backend = import_module("nova.virt.libvirt.imagebackend").Rbd
    real = getattr(backend, name)
    setattr(backend, name, changed)
    try:
        return look()
    finally:
        setattr(backend, name, real)


def _installed() -> list[str]:
    """Return which of the classes that Nova looks up by name are ours."""
    service = import_module("nova.service")
    looked_up = (
        import_module("nova.storage.rbd_utils").RBDDriver.__module__,
        import_module("nova.virt.libvirt").LibvirtDriver.__module__,
        service.SERVICE_MANAGERS["nova-compute"],
    )
    return [each for each in looked_up if each.startswith("cowpath.")]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(found()))
