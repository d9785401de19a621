"""The fault proxy as a service of the lab."""

import http.client
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lab.errors import LabError
from lab.fault_proxy_keystone import VERSION
from lab.files import read, write
from lab.layout import Layout
from lab.ports import HOST, first_free, is_free
from lab.processes import Process, end, find, spawn
from lab.programs import clean_environment, tail
from lab.waiting import wait_until

_PROGRAM = Path(__file__).with_name("fault_proxy.py")
_ANSWER_WITHIN_SECONDS = 5.0
_START_WITHIN_SECONDS = 20.0
_STOP_WITHIN_SECONDS = 5.0


class FaultProxy:
    """The proxy before the lab's Glance."""

    name = "proxy"

    def __init__(self, layout: Layout, glance_port: Path, ports: range) -> None:
        """Know where it lies; nothing is made yet.

        Args:
            layout: Where the lab lies.
            glance_port: The file with Glance's port.
            ports: One of them will be its own.
        """
        self._home = layout.proxy
        self._glance_port = glance_port
        self._ports = ports

    @property
    def url(self) -> str:
        """Its root, which stands for Glance's."""
        return f"http://{HOST}:{self._kept_port()}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.url

    @property
    def log(self) -> Path:
        """One line per request: method, path, what was answered, which fault."""
        return self._home / "proxy.log"

    def describe(self) -> dict[str, str]:
        """Return what lab.json says of it."""
        auth_url = f"{self.url}{VERSION}"
        return {"url": self.url, "auth_url": auth_url, "log": str(self.log)}

    @property
    def _port_record(self) -> Path:
        return self._home / "port"

    def processes(self) -> list[Process]:
        """Return its process."""
        return find(_PROGRAM.name, self._home)

    def answers(self) -> bool:
        """Tell whether it says which faults are set, whatever Glance does."""
        port = self._kept_port()
        connection = http.client.HTTPConnection(HOST, port, _ANSWER_WITHIN_SECONDS)
        with closing(connection):
            try:
                connection.request("GET", "/_faults")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    def start(self, settings: Sequence[str] = ()) -> None:
        """Start it, without faults."""
        if settings:
            raise LabError("The proxy takes no --set: PUT its faults to /_faults.")
        if self.processes() and self.answers():
            return
        self.stop()
        write(self._port_record, f"{self._choose_port()}\n")
        self._spawn()

    def stop(self) -> None:
        """End it at once: its connections break."""
        if not end(_PROGRAM.name, self._home, grace_seconds=_STOP_WITHIN_SECONDS):
            raise LabError("The proxy cannot be killed: see `python -m lab status`.")

    clear = stop

    def _spawn(self) -> None:
        environment = clean_environment(
            self._home,
            PYTHONPATH=str(_PROGRAM.parents[1]),
            # Our own folder must not come first: its modules have common names.
            PYTHONSAFEPATH="1",
            PYTHONDONTWRITEBYTECODE="1",
        )
        started = spawn(
            [
                sys.executable,
                str(_PROGRAM),
                str(self._port_record),
                str(self._glance_port),
            ],
            env=environment,
            cwd=self._home,
            log=self.log,
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=_START_WITHIN_SECONDS,
        )
        if started.poll() is not None or not self.answers():
            words = tail(read(self.log))
            message = f"The proxy does not start. Its last words ({self.log}):\n{words}"
            raise LabError(message)

    def _kept_port(self) -> int:
        return int(read(self._port_record) or self._ports.start)

    def _choose_port(self) -> int:
        """Return the port of the last time, unless another program has it now."""
        kept = self._kept_port()
        if is_free(kept):
            return kept
        return first_free(range(port, port + 1) for port in self._ports).start
