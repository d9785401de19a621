"""The wheel alone, in an environment of its own: library and command line work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.canned import CannedGlance
from tests.doors.desk import IMAGE, Desk, clean

pytestmark = pytest.mark.wheel

_CHECKOUT = Path(__file__).parents[2]
_LIBRARY = """
import cowpath
from cowpath import open_site

site = open_site([{conf!r}])
disk = site.create_disk("debian", "library", size="2M")
print(cowpath.__file__)
print(site.disk_xml(disk))
"""
_WITHOUT_EXTRAS = """
import cowpath, sys
from cowpath import Site, open_site

site = open_site([{conf!r}])
disk = site.create_disk({image!r}, "bare")
loaded = sorted({{"typer", "rich", "openstack", "libvirt"}} & {{*sys.modules}})
print(disk.size, loaded)
"""


def _uv() -> str:
    for found in (os.environ.get("LAB_UV"), _CHECKOUT / ".tools/bin/uv"):
        if found and Path(found).is_file():
            return str(found)
    on_path = shutil.which("uv")
    if not on_path:
        pytest.fail("there is no uv: `make wheel-test` brings it, or set LAB_UV")
    return on_path


class Environment:
    """A virtual environment that sees neither the checkout nor the system's packages.

    Attributes:
        home: An empty directory to work in.
    """

    def __init__(self, folder: Path, *wanted: str) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._venv = folder / "venv"
        _run(_uv(), "venv", "--quiet", "--python", sys.executable, str(self._venv))
        python = str(self._venv / "bin/python")
        _run(_uv(), "pip", "install", "--quiet", "--python", python, *wanted)

    def run(self, program: str, *words: str, **given: str) -> str:
        """Run a program of the environment; return its stdout."""
        return _run(str(self._venv / "bin" / program), *words, cwd=self.home, env=given)

    def fails(self, program: str, *words: str) -> tuple[int, str]:
        """Run a program that fails; return its exit code and stderr."""
        done = subprocess.run(
            [self._venv / "bin" / program, *words],
            cwd=self.home,
            env=_plain({}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr


def _plain(given: dict[str, str]) -> dict[str, str]:
    ours = {
        key: value for key, value in clean().items() if not key.startswith("PYTHON")
    }
    return ours | {"COLUMNS": "200"} | given


def _run(
    *words: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env=_plain(env or {}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    out = tmp_path_factory.mktemp("dist")
    _run(_uv(), "build", "--quiet", "--wheel", "--out-dir", str(out), str(_CHECKOUT))
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install it with the command line."""
    return Environment(tmp_path_factory.mktemp("full"), f"{wheel}[cli]")


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install it alone."""
    return Environment(tmp_path_factory.mktemp("bare"), str(wheel))


@pytest.fixture
def ready(desk: Desk, glance: CannedGlance) -> Desk:
    """Return a site that has the image."""
    glance.add(IMAGE, stores="central,edge1")
    desk.place()
    return desk


def test_the_command_line(full: Environment, ready: Desk) -> None:
    assert re.fullmatch(r"cowpath \d+\.\d+\.\d+\n", full.run("cowpath", "--version"))
    assert "Exit codes:" in full.run("cowpath", "--help")
    conf = ["--config-file", str(ready.conf)]
    made = full.run("cowpath", *conf, "disk", "create", "debian", "vm1", "--xml")
    assert f'<source file="{ready.disks}/vm1.qcow2"' in made.replace("'", '"')
    assert "vm1" in full.run("cowpath", *conf, "disk", "list")
    assert full.run("python", "-m", "cowpath", "--version")


def test_clouds_yaml(full: Environment, ready: Desk) -> None:
    ready.write_conf(auth_type="", token="", endpoint="", endpoint_override="")
    given = {"OS_CLIENT_CONFIG_FILE": str(ready.clouds), "OS_CLOUD": "canned"}
    conf = ["--config-file", str(ready.conf)]
    assert "debian" in full.run("cowpath", *conf, "image", "list", **given)


def test_the_library(full: Environment, ready: Desk) -> None:
    told = full.run("python", "-c", _LIBRARY.format(conf=str(ready.conf)))
    where, described = told.split("\n", 1)
    assert not Path(where).is_relative_to(_CHECKOUT)
    assert Path(where).parent.joinpath("py.typed").exists()
    assert "library.qcow2" in described


def test_the_library_without_extras(bare: Environment, ready: Desk) -> None:
    program = _WITHOUT_EXTRAS.format(conf=str(ready.conf), image=IMAGE)
    assert bare.run("python", "-c", program) == f"{2**20} []\n"


def test_without_extras_the_command_line_says_what_to_install(
    bare: Environment,
) -> None:
    code, said = bare.fails("cowpath", "--help")
    assert code != 0
    assert "pip install 'cowpath[cli]'" in said
    assert "Traceback" not in said


def test_without_nova_the_command_inside_nova_says_where_to_install(
    bare: Environment,
) -> None:
    code, said = bare.fails("cowpath-nova-compute")

    assert code == 1
    assert "does not find Nova" in said
    assert "install cowpath into the environment that nova-compute runs in" in said
