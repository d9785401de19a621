"""The way back: Cowpath is gone, and what it made is Nova's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, VMS, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack


@pytest.fixture
def _uninstalled(
    openstack_lab: dict[str, Any], computes: Computes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have the environment without Cowpath; the next start of ours installs it."""
    make_s = str(Path(__file__).parents[3] / ".tools" / "bin" / "uv")
    found = os.environ.get("LAB_UV") or shutil.which("uv") or shutil.which(make_s)
    if found:
        # The lab's own environments have no pip where uv made them.
        monkeypatch.setenv("LAB_UV", found)
    yield
    computes.restart(EDGE)
    assert _has_cowpath(openstack_lab["python"])


def _has_cowpath(python: str) -> bool:
    done = subprocess.run([python, "-c", "import cowpath"], check=False)
    return done.returncode == 0


def _uninstall(python: str) -> None:
    """Uninstall Cowpath for real."""
    uv = os.environ.get("LAB_UV")
    ways = [uv, "pip", "uninstall", "--python", python, "cowpath"]
    pip = [python, "-m", "pip", "uninstall", "--yes", "cowpath"]
    command = [each for each in ways if each] if uv else pip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # By this the lab knows that it has nothing to install.
    Path(python).parents[1].joinpath("checkout").unlink()


@pytest.mark.usefixtures("_uninstalled")
def test_stock_nova_compute_takes_over(
    cloud: Cloud, computes: Computes, openstack_lab: dict[str, Any]
) -> None:
    """It snapshots, resizes and deletes a server that we made, and boots its image."""
    image = cloud.upload(store=CENTRAL)
    server = cloud.boot(image, EDGE)
    assert cloud.copies(image) == 1
    computes.kill(EDGE)
    _uninstall(openstack_lab["python"])
    assert not _has_cowpath(openstack_lab["python"])
    computes.restart(EDGE, stock=True)
    cloud.proves(server, EDGE)
    cloud.act(server, "createImage", {"name": "bench-back"})
    cloud.active(server)
    [taken] = cloud.glance("GET", "/images?name=bench-back")["images"]
    made = cloud.adopt_image(taken["id"])
    cloud.wait(lambda: cloud.image(made)["status"] == "active", "the snapshot")
    cloud.act(server, "resize", {"flavorRef": "lab.small"})
    cloud.until(server, "VERIFY_RESIZE")
    cloud.act(server, "confirmResize")
    cloud.active(server)
    with cloud.clusters[EDGE].opened(VMS, f"{server}_disk") as disk:
        assert disk.size() == 2**31
    again = cloud.boot(made, EDGE)
    assert cloud.parent(again, EDGE) == f"{IMAGES}/{made}@snap"
    cloud.lives(server, EDGE)
    cloud.delete(server, again)
    assert cloud.disks(server, EDGE) == []
