"""What is asked of a lab, whichever kind it is of: where it is, and its services."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_CHECKOUT = Path(__file__).parents[2]


def manifest(kind: str, variable: str) -> dict[str, Any]:
    """Return what `python -m lab up` left in lab.json; a lab that is down fails.

    Args:
        kind: Of the lab.
        variable: In the environment, which may name another file.
    """
    beside = _CHECKOUT / "lab" / "run" / kind / "lab.json"
    path = Path(os.environ.get(variable, beside))
    if not path.is_file():
        pytest.fail(f"there is no {path}: run `python -m lab up --kind {kind}`")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def service(kind: str, *words: str) -> None:
    """Do something to a service, as in `glance stop`; fail where it cannot be done."""
    command = [sys.executable, "-m", "lab", "service", "--kind", kind, *words]
    done = subprocess.run(
        command, cwd=_CHECKOUT, capture_output=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
