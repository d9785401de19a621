"""A service of OpenStack that answers HTTP: gunicorn, one process, some threads."""

import http.client
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.daemon import Daemon
from lab.files import ini
from lab.glance_config import Sections, gunicorn, override
from lab.port_block import PortBlock
from lab.ports import HOST
from lab.programs import clean_environment
from lab.venv import Venv

_ANSWER_WITHIN_SECONDS = 5.0
_THREADS = 8


class Wsgi(Daemon):
    """What Keystone, Placement and Nova's API have in common."""

    programs = ("gunicorn",)
    application: str

    def __init__(self, name: str, home: Path, ports: PortBlock, venv: Venv) -> None:
        super().__init__(name, home)
        self._ports = ports
        self._venv = venv

    @property
    def url(self) -> str:
        """Its root, without a version."""
        return self._ports.url(self.name)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.url

    @property
    def access_log(self) -> Path:
        """One line per answered request."""
        return self.home / "access.log"

    def answers(self) -> bool:
        """Tell whether it lists its versions."""
        port = self._ports.port(self.name)
        connection = http.client.HTTPConnection(HOST, port, _ANSWER_WITHIN_SECONDS)
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return status in (http.HTTPStatus.OK, http.HTTPStatus.MULTIPLE_CHOICES)

    @property
    @abstractmethod
    def conf(self) -> Path:
        """The application's configuration file."""

    @abstractmethod
    def sections(self) -> Sections:
        """Return what the application's configuration file says."""

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return the application's configuration and gunicorn's."""
        text = ini(override(self.sections(), settings))
        return {self.conf: text, self.home / "gunicorn.conf.py": self._gunicorn()}

    def _gunicorn(self) -> str:
        port = self._ports.port(self.name)
        settings = gunicorn(self.home, port, self.application, threads=_THREADS)
        # The application would take gunicorn's arguments for its own.
        argv = "import sys\nsys.argv[1:] = []\n"
        return argv + settings

    def command(self) -> Sequence[str]:
        """Return gunicorn."""
        config = str(self.home / "gunicorn.conf.py")
        return [self._venv.program("gunicorn"), "--config", config]

    def environment(self) -> Mapping[str, str]:
        """Return a home, and what tells the application where its own files are."""
        return clean_environment(self.home, TMPDIR=str(self.home), **self.variables)

    @property
    def variables(self) -> Mapping[str, str]:
        """Where its configuration lies."""
        return {}
