"""Check the seams of the Glance that this is run by; write what was found as JSON.

A program for the virtual environment of a Glance release: `python seams_here.py FILE`.
"""

import json
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

_FLOWS = "glance.async_.flows.api_image_import"


def found() -> dict[str, Any]:
    """Return what each look at this Glance shows."""
    seams: Any = import_module("cowpath.doors.glance.seams")
    flows: Any = import_module(_FLOWS)
    known = seams.KNOWN
    seen: dict[str, Any] = {"unknown": seams.unknown()}
    seams.KNOWN = (1, 2)
    seen["another release"] = seams.unknown()
    seams.KNOWN = known
    real = flows.get_flow
    flows.get_flow = lambda task_id: task_id
    seen["another signature"] = seams.unknown()
    del flows.get_flow
    seen["without it"] = seams.unknown()
    flows.get_flow = real
    import_module("cowpath.doors.glance.place").install()
    # As Glance's engine finds it.
    (point,) = entry_points(group="glance.flows", name="api_image_import")
    seen["found by its entry point"] = point.load().__module__
    return seen


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(found()))
