"""A Glance of another host, with the same database and the same stores."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.ports import first_free
from tests.lab.ceph.ceph_bench import CephBench

_CHECKOUT = Path(__file__).parents[3]
_PORTS = range(19700, 19790)
_OWN = ("staging", "tasks", "locks")
"""Folders that a host has for itself."""


@contextmanager
def another_host(
    bench: CephBench, home: Path, works: Callable[[], bool]
) -> Iterator[None]:
    """Have it answer in the place of the lab's own meanwhile.

    Args:
        bench: Asks it from now on.
        home: An empty folder for it.
        works: Tells whether it answers.
    """
    told = bench.lab["glance"]
    url, first = told["url"], Path(told["access_log"]).parent
    port = first_free(range(each, each + 1) for each in _PORTS).start
    _make(first, home, url.rpartition(":")[2], str(port))
    told["url"] = f"http://127.0.0.1:{port}"
    started = _start(first, home)
    try:
        bench.wait(works, "another host's Glance")
        yield
    finally:
        told["url"] = url
        started.terminate()
        started.wait(60)


def _make(first: Path, home: Path, port: str, other: str) -> None:
    """Write the files of the one host for the other."""
    shutil.copytree(first / "etc", home / "etc")
    shutil.copy(first / "gunicorn.conf.py", home)
    for name in _OWN:
        (home / name).mkdir()
    for file in (home / "etc" / "glance-api.conf", home / "gunicorn.conf.py"):
        text = file.read_text().replace(str(first), str(home)).replace(port, other)
        database = f"sqlite:///{home / 'glance.sqlite'}"
        file.write_text(text.replace(database, f"sqlite:///{first / 'glance.sqlite'}"))


def _start(first: Path, home: Path) -> "subprocess.Popen[bytes]":
    own = (_CHECKOUT / "lab" / "glance_site", first / "bindings")
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "OS_GLANCE_CONFIG_DIR": str(home / "etc"),
        "PYTHONPATH": os.pathsep.join(map(str, own)),
    }
    gunicorn = _CHECKOUT / "lab/run/cache/glance-venv/bin/gunicorn"
    with (home / "gunicorn.log").open("wb") as log:
        return subprocess.Popen(
            [gunicorn, "--config", home / "gunicorn.conf.py"],
            env=env,
            cwd=home,
            stdout=log,
            stderr=log,
        )
