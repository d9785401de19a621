"""Glance: the API server, its stores, and a SQLite database."""

import http.client
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import glance_config
from lab.errors import LabError
from lab.files import ini, read, write
from lab.glance_kits import Alone, Kit
from lab.glance_stores import Stores
from lab.layout import Layout
from lab.ports import HOST, first_free, is_free
from lab.processes import Process, end, find, spawn
from lab.programs import clean_environment, tail
from lab.waiting import wait_until

DOOR = "lab.door=cowpath"
"""A setting: serve Cowpath's application instead of Glance's own."""

_DOOR_APPLICATION = "cowpath.doors.glance.wsgi:application"
_OURS = "lab"
"""The section whose settings are for the lab, not for Glance."""
_OURS_HAS = {"door", "workers"}
_CHECKOUT = Path(__file__).parents[1]
_ANSWER_WITHIN_SECONDS = 5.0
_START_WITHIN_SECONDS = 60.0
_STOP_WITHIN_SECONDS = 15.0


class Glance:
    """The lab's Glance."""

    name = "glance"

    def __init__(
        self, layout: Layout, stores: Stores, ports: range, kit: Kit | None = None
    ) -> None:
        """Know where it lies; nothing is made yet.

        Args:
            layout: Where the lab lies.
            stores: What it keeps images in.
            ports: One of them will be its own.
            kit: What else it stands on; nothing but itself by default.
        """
        self._layout = layout
        self._stores = stores
        self._ports = ports
        self._home = layout.glance
        self._kit = kit or Alone(layout)

    @property
    def url(self) -> str:
        """Its root, without a version."""
        return f"http://{HOST}:{self._kept_port()}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.url

    @property
    def port_record(self) -> Path:
        """The file with its port, which another start may change."""
        return self._home / "port"

    @property
    def log(self) -> Path:
        """What Glance writes."""
        return self._home / "glance.log"

    @property
    def access_log(self) -> Path:
        """One line per answered request: method, path, status, seconds, time."""
        return self._home / "access.log"

    @property
    def config_dir(self) -> Path:
        """The folder with glance-api.conf."""
        return self._home / "etc"

    def describe(self) -> dict[str, object]:
        """Return what lab.json says of it."""
        return {
            "url": self.url,
            "log": str(self.log),
            "access_log": str(self.access_log),
            "config_dir": str(self.config_dir),
            **self._kit.describe(),
        }

    @property
    def _server_log(self) -> Path:
        return self._home / "gunicorn.log"

    def processes(self) -> list[Process]:
        """Return gunicorn's master and workers."""
        return find("gunicorn", self._home)

    def answers(self) -> bool:
        """Tell whether it lists its API versions, and has all that it needs still.

        Without their master the workers end, but they answer a little longer; and
        they answer long after somebody cleaned the checkout under them.
        """
        workers = "gunicorn: worker"
        masters = [
            each
            for each in self.processes()
            if not each.arguments[0].startswith(workers)
        ]
        return bool(masters) and self._is_whole() and _lists_versions(self._kept_port())

    def _is_whole(self) -> bool:
        own = [self.config_dir / "glance-api.conf", *self._folders()]
        return all(path.exists() for path in (*self._kit.needed, *own))

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make its environment, database and configuration, and start it.

        Args:
            settings: For Glance; of section `lab`: door (stock, cowpath) and workers.
        """
        port = self._choose_port()
        sections = glance_config.override(self._configuration(port), settings)
        served = self._served(port, sections.pop(_OURS, {}))
        conf = ini(sections)
        if self.answers() and self._texts() == (conf, served):
            return
        self._kit.venv.ensure()
        if DOOR in settings:
            self._kit.venv.add_checkout(_CHECKOUT)
        self._stores.ensure()
        self.stop()
        for folder in self._folders():
            folder.mkdir(parents=True, exist_ok=True)
        self._kit.prepare()
        write(self.port_record, f"{port}\n")
        write(self.config_dir / "glance-api.conf", conf)
        write(self.config_dir / "paste.ini", self._kit.paste())
        write(self._home / "gunicorn.conf.py", served)
        self._spawn()

    def _served(self, port: int, ours: Mapping[str, str]) -> str:
        applications = {"stock": glance_config.STOCK, "cowpath": _DOOR_APPLICATION}
        application = applications.get(ours.get("door", "stock"))
        workers = ours.get("workers", "1")
        if not application or not workers.isdigit() or ours.keys() - _OURS_HAS:
            message = f"[{_OURS}] takes door=stock|cowpath and workers=NUMBER: {ours}"
            raise LabError(message)
        return glance_config.gunicorn(
            self._home, port, application, workers=int(workers)
        )

    def _texts(self) -> tuple[str, str]:
        """Return what it was started with: its own file, and its server's."""
        own = self.config_dir / "glance-api.conf", self._home / "gunicorn.conf.py"
        return read(own[0]), read(own[1])

    def _configuration(self, port: int) -> glance_config.Sections:
        url = f"http://{HOST}:{port}"
        standard = glance_config.standard(self._layout, url, self._stores.backends)
        return glance_config.merge(standard, self._kit.sections)

    def _folders(self) -> list[Path]:
        own = [self._home / name for name in ("staging", "tasks", "locks", "etc")]
        return [*self._stores.folders, *own]

    def _spawn(self) -> None:
        python_path = [*self._kit.python_path, *self._stores.python_path]
        started = spawn(
            [
                self._kit.venv.program("gunicorn"),
                "--config",
                str(self._home / "gunicorn.conf.py"),
            ],
            env=clean_environment(
                self._home,
                OS_GLANCE_CONFIG_DIR=str(self.config_dir),
                PYTHONPATH=os.pathsep.join(map(str, python_path)),
            ),
            cwd=self._home,
            log=self._server_log,
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=_START_WITHIN_SECONDS,
        )
        if not self.answers():
            self.stop()
            logs = tail(read(self._server_log)) + "\n" + tail(read(self.log))
            raise LabError(
                "Glance does not start. Its last words "
                f"(all: {self._server_log}, {self.log}):\n{logs}"
            )

    def stop(self) -> None:
        """Let it finish what it is at, for a while, then kill it."""
        if not end("gunicorn", self._home, grace_seconds=_STOP_WITHIN_SECONDS):
            raise LabError("Some of Glance's processes cannot be killed: see `status`.")

    clear = stop

    def _kept_port(self) -> int:
        return int(read(self.port_record) or self._ports.start)

    def _choose_port(self) -> int:
        """Return the port of the last time, unless another program has it now."""
        kept = self._kept_port()
        if self.processes() or is_free(kept):
            return kept
        return first_free(range(port, port + 1) for port in self._ports).start


def _lists_versions(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, _ANSWER_WITHIN_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.MULTIPLE_CHOICES
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
