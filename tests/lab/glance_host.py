"""A glance-api host beside the lab's own: its database and stores, any WSGI server.

It has what a host has for itself: a port, a log, and the folders for what is staged,
for locks and for the copies that it runs.
"""

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from lab.files import ini, write
from lab.glance_config import Sections, merge, override
from lab.ports import first_free
from lab.processes import Process, end, find, send, spawn
from lab.programs import clean_environment
from lab.venv import Venv
from lab.wsgi_servers import Gunicorn, Server, Service
from tests.lab.bench import Bench
from tests.lab.glance_door import Door

CHECKOUT = Path(__file__).parents[2]
"""What its Glance's environment sees of ours."""
VENV = CHECKOUT / "lab/run/cache/glance-venv"

_PORTS = range(19800, 19890)
_DOOR = "cowpath.doors.glance.wsgi:application"
_FOLDERS = ("staging", "tasks", "locks", "etc")
_DATADIR = "filesystem_store_datadir"
_START_WITHIN_SECONDS = 60
_STOP_WITHIN_SECONDS = 30


@dataclass(frozen=True)
class Host:
    """One such host.

    Attributes:
        bench: Hands for the lab.
        home: Its folder.
        server: What serves Glance there.
        settings: SECTION.KEY=VALUE each, beside the lab's own.
    """

    bench: Bench
    home: Path
    server: Server
    settings: tuple[str, ...] = ()

    @contextmanager
    def serving(self) -> Iterator["Host"]:
        """Have it answer meanwhile."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    @cached_property
    def port(self) -> int:
        """Where it listens."""
        return first_free(range(each, each + 1) for each in _PORTS).start

    @cached_property
    def door(self) -> Door:
        """Ask it, and look into what it has for itself."""
        own = {"url": f"http://127.0.0.1:{self.port}", "access_log": self.home / "none"}
        bench = Bench(self.bench.lab | {"glance": self.bench.lab["glance"] | own})
        return Door(bench)

    def start(self) -> None:
        """Start it; return when it answers."""
        started = self.spawn()
        self.bench.wait(
            lambda: started.poll() is not None or self.answers(),
            "its answer",
            within=_START_WITHIN_SECONDS,
        )
        assert started.poll() is None, f"{self.server.program} ended: {self.log}"
        # It is to be found by what it is; Popen would only complain.
        started.returncode = 0

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start it; return its first process."""
        for name in _FOLDERS:
            (self.home / name).mkdir(exist_ok=True)
        write(self.conf, ini(override(self._sections(), self.settings)))
        for path, text in self.server.files(self._service).items():
            write(path, text)
        return spawn(
            self.server.command(self._service),
            env=self._environment,
            cwd=self.home,
            log=self.home / "server.out",
        )

    @property
    def conf(self) -> Path:
        """Its glance-api.conf."""
        return self.home / "etc/glance-api.conf"

    @property
    def _service(self) -> Service:
        return Service(
            self.home,
            self.port,
            _DOOR,
            CHECKOUT / "src/cowpath/doors/glance/wsgi.py",
            VENV,
        )

    @property
    def _environment(self) -> dict[str, str]:
        first = Path(self.bench.lab["glance"]["config_dir"]).parent
        path = (CHECKOUT / "lab/glance_site", first / "bindings")
        return clean_environment(
            self.home,
            OS_GLANCE_CONFIG_DIR=str(self.conf.parent),
            PYTHONPATH=os.pathsep.join(map(str, path)),
        )

    def _sections(self) -> Sections:
        """Return what the lab's own Glance is told, but for what a host has alone."""
        url = f"http://127.0.0.1:{self.port}"
        folders = {name: str(self.home / name) for name in _FOLDERS}
        own = {"public_endpoint": url, "worker_self_reference_url": url}
        return merge(
            told(Path(self.bench.lab["glance"]["config_dir"], "glance-api.conf")),
            {
                "DEFAULT": {**own, "log_file": str(self.home / "glance.log")},
                "os_glance_staging_store": {_DATADIR: folders["staging"]},
                "os_glance_tasks_store": {_DATADIR: folders["tasks"]},
                "task": {"work_dir": folders["tasks"]},
                "oslo_concurrency": {"lock_path": folders["locks"]},
            },
        )

    def answers(self) -> bool:
        """Tell whether it answers."""
        with suppress(OSError, AssertionError):
            self.door.bench.ask("GET", "/v2/images?limit=1")
            return True
        return False

    def stop(self) -> None:
        """Have it end, and see that it does."""
        grace = float(_STOP_WITHIN_SECONDS)
        assert end(self.server.program, self.home, grace_seconds=grace)

    def processes(self) -> list[Process]:
        """Return its processes, the first one first."""
        return find(self.server.program, self.home)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        send(self.processes()[:1], number)

    @property
    def log(self) -> str:
        """What Glance has written there."""
        return (self.home / "glance.log").read_text(errors="replace")

    def copier(self, task: str) -> int:
        """Return the process that is at a copy; 0 where none is."""
        with suppress(FileNotFoundError):
            record = self.home / "staging/.cowpath" / f"{task}.copy"
            inode = record.stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                words = line.split()
                if words[1] == "FLOCK" and words[-3].endswith(f":{inode}"):
                    return int(words[-4])
        return 0


@contextmanager
def two_hosts(
    bench: Bench, homes: pytest.TempPathFactory
) -> Iterator[tuple[Host, ...]]:
    """Give two hosts with one database and the same stores.

    They copy slowly: no copy is over before the last one has asked.
    """
    ready()
    slow = ("cowpath.bandwidth=*:*=1M",)
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(Host(bench, home, Gunicorn(), slow).serving())
            for home in (homes.mktemp("host") for _ in range(2))
        )


def ready() -> Path:
    """Have Glance's environment see this checkout; return it."""
    Venv(VENV.parent, "glance").add_checkout(CHECKOUT)
    return VENV


def told(conf: Path) -> Sections:
    """Return what a file of Glance's says."""
    # Its [DEFAULT] is a section as any other.
    parser = RawConfigParser(default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(conf)
    found: dict[str, Any] = {name: dict(parser[name]) for name in parser if name}
    return found


def _answer(host: Host, image: str, store: str) -> int:
    """Ask for a copy; return what is answered."""
    how = {"method": {"name": "copy-image"}, "stores": [store]}
    try:
        host.door.bench.ask("POST", f"/v2/images/{image}/import", how)
    except AssertionError as error:
        [code] = re.findall(r", (\d{3}), b", str(error))
        return int(code)
    return 202


def asked(
    hosts: Sequence[Host], images: Sequence[str], stores: Sequence[str]
) -> dict[str, Counter[int]]:
    """Ask each host, twice, for a copy of each image; return the answers."""
    words = [
        (host, image, store)
        for image in images
        for host, store in zip(hosts, stores, strict=True)
        for _ in range(2)
    ]
    barrier = Barrier(len(words))

    def ask(each: tuple[Host, str, str]) -> int:
        barrier.wait(60)
        return _answer(*each)

    with ThreadPoolExecutor(len(words)) as pool:
        answers = [*pool.map(ask, words)]
    found: dict[str, Counter[int]] = {image: Counter() for image in images}
    for (_, image, _), answer in zip(words, answers, strict=True):
        found[image][answer] += 1
    return found


def is_over(door: Door, image: str) -> bool:
    """Tell whether no copy of an image runs, and none waits for its end."""
    running = {"pending", "processing"}
    tasks = door.bench.tasks(image)
    return not door.is_locked(image) and not any(each in running for _, each in tasks)
