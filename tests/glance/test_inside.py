"""The tests of the door run where Glance is, for each release."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.glance.venvs import CHOSEN, RELEASES

pytestmark = pytest.mark.glance_upstream

_CHECKOUT = Path(__file__).parents[2]
_INSIDE = Path(__file__).with_name("inside")


@pytest.mark.parametrize("release", CHOSEN)
def test_the_door_inside_a_release(release: int, tmp_path: Path) -> None:
    venv = RELEASES.venv(release)
    venv.ensure()
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [
            *(venv.program("python"), "-m", "pytest", "-q", "--tb=short"),
            *("-c", str(_INSIDE / "pytest.ini"), str(_INSIDE)),
        ],
        cwd=tmp_path,
        env={**os.environ, **quiet, "PYTHONPATH": f"{_CHECKOUT / 'src'}:{_CHECKOUT}"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
