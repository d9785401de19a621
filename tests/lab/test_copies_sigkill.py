"""Cowpath killed at any moment of a copy: the next call succeeds, nothing is left."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowpath import open_site
from tests.lab.bench import EDGE, Bench, Ran, follow, noise, tool
from tests.lab.proxy import Proxy

pytestmark = pytest.mark.lab

_MIB = 2**20
_MOMENTS = 12

# Python tells audit hooks of each request, link, removal and process that is about to
# be: a moment is what comes right before one of them.
_DIE_AT = """
import os, signal, sys

moments = []
watching = False
EVENTS = {{
    "http.client.send", "os.link", "os.rename", "os.mkdir", "os.remove", "fcntl.flock",
    "subprocess.Popen",
}}

def look(event, arguments):
    if watching and event in EVENTS:
        moments.append(event)
        if len(moments) == {moment}:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(look)
from cowpath import open_site
with open_site([{conf!r}]) as site:
    watching = True
    site.create_disk({image!r}, {name!r}, "5M")
print(len(moments))
"""


def _create(bench: Bench, image: str, name: str, moment: int) -> Ran:
    """Make a disk in a process that dies at a moment; at 0 never."""
    conf = bench.lab["sites"][EDGE]
    given = {"moment": moment, "conf": conf, "image": image, "name": name}
    done = subprocess.run(
        [sys.executable, "-c", _DIE_AT.format(**given)],
        env=bench.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def moments(bench: Bench) -> int:
    """Count the moments of a whole copy with its disk."""
    ran = _create(bench, bench.upload(noise(1)), bench.name(), 0)
    assert ran.code == 0, ran
    return int(ran.out)


@pytest.fixture
def proxy(lab: dict[str, Any]) -> Iterator[Proxy]:
    made = Proxy(lab["proxy"]["url"])
    made.clear()
    yield made
    made.clear()


@pytest.mark.parametrize("part", range(_MOMENTS))
def test_killed_at_a_moment(
    bench: Bench, moments: int, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    image, name = bench.upload(noise(1)), bench.name()
    moment = 1 + part * (moments - 1) // (_MOMENTS - 1)
    ran = _create(bench, image, name, moment)
    # How many looks a copy takes differs a little: it may have been over.
    assert ran.code in {-signal.SIGKILL, 0}, ran
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    with open_site([bench.lab["sites"][EDGE]], cloud="lab-admin") as site:
        disk = site.create_disk(image, name, "5M")
    assert (disk.size, disk.image, disk.marked) == (5 * _MIB, image, True)
    _nothing_is_left(bench, image, name)


def _nothing_is_left(bench: Bench, image: str, name: str) -> None:
    assert bench.copies(image) == 1
    assert bench.stores(image) == {"central", EDGE}
    assert bench.base(image).samefile(bench.glance_file(image))
    disk = bench.disks() / f"{name}.qcow2"
    info = json.loads(tool("qemu-img", "info", "--output=json", disk))
    assert info["full-backing-filename"] == str(bench.base(image))
    assert list((bench.disks() / ".cowpath" / "making").iterdir()) == []
    assert not [*(bench.disks() / "leftovers").glob(f"{image}*")]


def test_killed_while_glance_decides(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    """The request is under way when who sent it dies; the next call finds its copy."""
    image, name = bench.upload(noise(8)), bench.name()
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    ask = f"POST /v2/images/{image}/import"
    with (
        proxy.faulty({"path": f"{image}/import$", "delay_seconds": 60}),
        bench.start("disk", "create", image, name, conf=conf) as asking,
    ):
        bench.wait(lambda: proxy.counts()[ask] == 1, "the request")
        asking.kill()
    ran = bench.run("disk", "create", image, name)
    assert ran.code == 0, ran
    bench.wait(lambda: "os_glance_import_task" not in bench.show(image), "the end")
    assert bench.copies(image) == 1
    assert bench.stores(image) == {"central", EDGE}


@pytest.mark.parametrize(
    ("store", "said"), [(EDGE, '"CopyJoined"'), ("edge2", '"phase": "queued"')]
)
def test_killed_while_another_copy_runs(
    bench: Bench, proxy: Proxy, tmp_path: Path, store: str, said: str
) -> None:
    """Nobody knows who joined or queued, so nothing has to be taken back."""
    image, name = bench.upload(noise(48)), bench.name()
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    look = f"/v2/images/{image}"
    with (
        proxy.faulty({"path": f"{look}$", "delay_seconds": 60}),
        bench.start(
            "disk", "create", image, name, conf=conf, COWPATH_PROGRESS="json"
        ) as following,
    ):
        assert following.stderr
        bench.wait(lambda: proxy.counts()[f"GET {look}"] == 1, "the first look")
        how = {"method": {"name": "copy-image"}, "stores": [store]}
        bench.ask("POST", f"{look}/import", how)
        proxy.clear()
        follow(following.stderr, said)
        following.kill()
    ran = bench.run("disk", "create", image, name)
    assert ran.code == 0, ran
    assert bench.copies(image) == len({store, EDGE})
    assert bench.stores(image) == {"central", EDGE, store}
    assert bench.base(image).samefile(bench.glance_file(image))
