"""Killed at each step of making a disk: the next call finishes what was begun."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, VMS, CephBench
from tests.lab.ceph.cluster import Ceph

pytestmark = pytest.mark.ceph

_MIB = 2**20

# librbd tells no audit hook of what it does: what calls it is replaced.
_CHILD = """
import os, signal
from contextlib import contextmanager
from cowpath import open_site
from cowpath.stores.rbd import _intents, _librbd, _marks

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(call):
    def both(*arguments):
        call(*arguments)
        die()
    return both

class Dying:
    def __init__(self, image):
        self._image = image
    def __getattr__(self, name):
        return die if name == {step!r} else getattr(self._image, name)

if {step!r} == "clone":
    _librbd.clone = die
elif {step!r} == "mark":
    _librbd.clone = after(_librbd.clone)
elif {step!r} == "forget":
    _intents.forget = die
elif {step!r} == "resize":
    inner = _librbd.Cluster.image
    @contextmanager
    def image(*given, **more):
        with inner(*given, **more) as opened:
            yield Dying(opened)
    _librbd.Cluster.image = image
open_site([{conf!r}]).create_disk({image!r}, {name!r}, "5M")
"""

# What is there when the process dies before that step.
_STEPS = {
    "clone": None,
    "mark": 2 * _MIB,
    "resize": 2 * _MIB,
    "forget": 5 * _MIB,
}


def _notes(bench: CephBench, name: str) -> list[str]:
    tool = bench.clusters[EDGE].run
    keys = tool("rados", "-p", VMS, "listomapkeys", "cowpath.making").splitlines()
    return [key for key in keys if key.startswith(f"{name} ")]


def _kill(bench: CephBench, image: str, name: str, step: str) -> None:
    conf = bench.lab["sites"][EDGE]
    program = _CHILD.format(step=step, conf=conf, image=image, name=name)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=bench.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, (step, done.stderr)


def test_killed_while_making_a_disk(bench: CephBench, edge: Ceph) -> None:
    data = noise(2)
    image = bench.upload(data, store=EDGE)
    names = {step: bench.name() for step in _STEPS}
    for step, size in _STEPS.items():
        _kill(bench, image, names[step], step)
        assert len(_notes(bench, names[step])) == 1
        there = names[step] in edge.names(VMS)
        assert there is (size is not None)
        if there:
            assert bench.info(names[step])["size"] == size
            shown = bench.cowpath("disk", "show", names[step], "--json").document
            assert shown["made_by_cowpath"]
    # A dead client's watches last 30 s: all of them together.
    with ThreadPoolExecutor(len(names)) as pool:
        made = list(
            pool.map(
                lambda name: bench.cowpath(
                    "disk", "create", image, name, "--size", "5M", "--json"
                ),
                names.values(),
            )
        )
    for (step, name), ran in zip(names.items(), made, strict=True):
        assert ran.document["size"] == 5 * _MIB
        assert ("made by an earlier call" in ran.err) is (step != "clone")
        told = bench.info(name)
        assert told["size"] == 5 * _MIB
        assert (told["parent"]["pool"], told["parent"]["image"]) == ("images", image)
        assert _bytes(edge, name) == b"".join(data) + bytes(3 * _MIB)
    for name in names.values():
        bench.cowpath("disk", "delete", name)
        assert name not in edge.names(VMS)
        assert _notes(bench, name) == []


def _bytes(edge: Ceph, name: str) -> bytes:
    with edge.opened(VMS, name) as seen:
        return bytes(seen.read(0, seen.size()))


def test_what_a_clone_begins_as_is_made_anew(bench: CephBench, edge: Ceph) -> None:
    """Killed inside librbd: an image is there that is nobody's clone yet."""
    image, name = bench.upload(noise(2), store=EDGE), bench.name()
    _kill(bench, image, name, "clone")
    edge.run("rbd", "create", "--size", "2M", f"{VMS}/{name}")
    # For a while it may be another call's that is alive.
    ran = bench.cowpath("disk", "create", image, name, "--size", "5M", "--json")
    assert ran.document["size"] == 5 * _MIB
    assert bench.info(name)["parent"]["image"] == image


@pytest.mark.parametrize("why", ["never begun by us", "written to"])
def test_an_image_of_somebody_else_stays(
    bench: CephBench, edge: Ceph, why: str
) -> None:
    image, name = bench.upload(noise(2), store=EDGE), bench.name()
    if why == "written to":
        _kill(bench, image, name, "clone")
    edge.run("rbd", "create", "--size", "2M", f"{VMS}/{name}")
    if why == "written to":
        with edge.opened(VMS, name, writable=True) as opened:
            opened.write(b"mine", _MIB)
    told = bench.info(name)
    ran = bench.run("disk", "create", image, name, site=EDGE)
    assert ran.code != 0
    assert "was not made by Cowpath" in ran.err
    assert bench.info(name) == told
