"""Killed at the worst moments: the next call finishes what was begun."""

import json
import subprocess
import sys

import pytest

from tests.lab.bench import EDGE, Bench, follow, noise, tool

pytestmark = pytest.mark.lab

_MIB = 2**20

# Python tells audit hooks of every process, link and removal that is about to be.
_DIE_BEFORE = """
import os, signal, sys

published = []

def die(event, arguments):
    if event == "os.link" and ".qcow2" in str(arguments):
        published.append(event)
    if event == {event!r} and {step!r} in str(arguments) and published == {published}:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
from cowpath import open_site
open_site([{conf!r}]).create_disk({image!r}, {name!r}, "5M")
"""


@pytest.fixture(scope="module")
def here(bench: Bench) -> str:
    """Publish an image that is here already."""
    return bench.upload(noise(2), store=EDGE)


@pytest.mark.parametrize(
    ("event", "step", "made"),
    [
        ("subprocess.Popen", "'create'", False),
        ("os.rename", "/marks/", False),
        ("os.link", ".qcow2", False),
        ("os.remove", "/making/", True),
    ],
)
def test_killed_while_it_makes_a_disk(
    bench: Bench, here: str, event: str, step: str, *, made: bool
) -> None:
    name, conf = bench.name(), bench.lab["sites"][EDGE]
    published = ["os.link"] if event in {"os.link", "os.remove"} else []
    given = {"event": event, "step": step, "conf": conf, "image": here, "name": name}
    given["published"] = str(published)
    killed = subprocess.run(
        [sys.executable, "-c", _DIE_BEFORE.format(**given)],
        env=bench.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    disk = bench.disks() / f"{name}.qcow2"
    # There is no disk, or a whole one that bears our mark.
    assert disk.exists() is made
    ran = bench.run("disk", "create", here, name, "--size", "5M", "--json")
    assert ran.code == 0, ran
    assert ("made by an earlier call" in ran.err) is made
    assert (ran.document["size"], ran.document["made_by_cowpath"]) == (5 * _MIB, True)
    info = json.loads(tool("qemu-img", "info", "--output=json", disk))
    assert info["virtual-size"] == 5 * _MIB
    assert info["full-backing-filename"] == str(bench.base(here))
    # Nothing of the dead one is left lying about.
    assert list((bench.disks() / ".cowpath" / "making").iterdir()) == []


def test_a_disk_that_was_left_small_is_grown(bench: Bench, here: str) -> None:
    """As a release that cloned and grew in two steps left it when it was killed."""
    name = bench.name()
    assert bench.run("disk", "create", here, name).code == 0
    ran = bench.run("disk", "create", here, name, "--size", "5M", "--json")
    assert ran.code == 0, ran
    assert "made by an earlier call" in ran.err
    assert ran.document["size"] == 5 * _MIB


def test_a_larger_leftover_is_not_taken_for_a_smaller_disk(
    bench: Bench, here: str
) -> None:
    name = bench.name()
    assert bench.run("disk", "create", here, name, "--size", "5M").code == 0
    ran = bench.run("disk", "create", here, name, "--size", "4M")
    assert ran.code == 5
    assert f"disk {name} exists and is larger" in ran.err
    assert bench.run("disk", "show", name, "--json").document["size"] == 5 * _MIB


def test_killed_while_it_follows_a_copy(bench: Bench) -> None:
    image, name = bench.upload(noise(48)), bench.name()
    with bench.start("disk", "create", image, name) as following:
        assert following.stderr
        follow(following.stderr, "asked Glance")
        following.kill()
    assert not (bench.disks() / f"{name}.qcow2").exists()
    ran = bench.run("disk", "create", image, name)
    assert ran.code == 0, ran
    assert bench.copies(image) == 1
    assert bench.stores(image) == {"central", EDGE}
