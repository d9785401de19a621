"""The tests of the door run where Nova is, in each way that Nova runs threads."""

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.nova.venvs import ALL, RELEASES, environment, modes

pytestmark = pytest.mark.nova_upstream

_CHECKOUT = Path(__file__).parents[2]
_INSIDE = Path(__file__).with_name("inside")
_NEWEST = ALL[0]


@pytest.fixture(scope="module")
def python() -> str:
    """Return the interpreter of an environment with the newest Nova."""
    venv = RELEASES.venv(_NEWEST)
    venv.ensure()
    return venv.program("python")


@pytest.mark.parametrize("mode", modes(_NEWEST))
def test_nova_s_behaviour_beside_ours(mode: str, python: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "--tb=short", f"--junit-xml={report}"),
            *("-c", str(_INSIDE / "pytest.ini"), str(_INSIDE)),
        ],
        cwd=_CHECKOUT,
        env={**os.environ, **environment(mode), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (suite,) = ET.parse(report).iter("testsuite")  # noqa: S314  # pytest's own
    assert suite.get("skipped") == "0"
    cases = {case.get("name", "") for case in suite.iter("testcase")}
    alone = {name for name in cases if name.endswith("[nova]")}
    assert {_ours(name) for name in alone} <= cases
    assert len(alone) > 40, "Nova's behaviour beside ours"


def _ours(name: str) -> str:
    return name.replace("[nova]", "[ours]")
