"""Servers of a WSGI application: gunicorn, uWSGI, and Apache with mod_wsgi."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.files import ini
from lab.glance_config import gunicorn
from lab.ports import HOST
from lab.programs import need

_PLUGINS = Path("/usr/lib/uwsgi/plugins")
_MODULES = Path("/usr/lib/apache2/modules")
# Somebody, as whom Apache believes to run.
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Service:
    """What is served, and where.

    Attributes:
        home: The service's folder.
        port: Where it listens, on the loopback address.
        application: The application, as `module:name`.
        script: The file of that module.
        venv: The environment that it runs in.
    """

    home: Path
    port: int
    application: str
    script: Path
    venv: Path


class Server(Protocol):
    """A program that serves an application."""

    @property
    def program(self) -> str:
        """What its processes' names begin with."""

    @property
    def lacks(self) -> str:
        """What this machine would have to have; empty where nothing is missing."""

    def files(self, service: Service) -> Mapping[Path, str]:
        """Return what has to be written before it starts."""

    def command(self, service: Service) -> Sequence[str]:
        """Return the program, by its path, and its arguments."""


@dataclass(frozen=True, slots=True)
class Gunicorn:
    """gunicorn, as the lab's own Glance has it: one worker."""

    program = "gunicorn"
    lacks = ""

    def files(self, service: Service) -> Mapping[Path, str]:
        """Return its configuration."""
        text = gunicorn(service.home, service.port, service.application)
        return {service.home / "gunicorn.conf.py": text}

    def command(self, service: Service) -> Sequence[str]:
        """Return its command line."""
        conf = service.home / "gunicorn.conf.py"
        return [str(service.venv / "bin/gunicorn"), "--config", str(conf)]


@dataclass(frozen=True, slots=True)
class Uwsgi:
    """uWSGI: a master and two workers.

    Attributes:
        options: What else it is told.
        threads: How many requests at once, in each worker; 0 for one, and no threads.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 8

    program = "uwsgi"

    @property
    def lacks(self) -> str:
        """Debian's uwsgi-core and uwsgi-plugin-python3."""
        found = [*_PLUGINS.glob("python3_plugin.so"), *_PLUGINS.glob("http_plugin.so")]
        return "" if len(found) > 1 else "uwsgi-core and uwsgi-plugin-python3"

    def files(self, service: Service) -> Mapping[Path, str]:
        """Return what its options are read from."""
        return {service.home / "uwsgi.ini": ini({"uwsgi": self._options(service)})}

    def _options(self, service: Service) -> dict[str, str]:
        threads = {"enable-threads": "true", "threads": f"{self.threads}"}
        return {
            "plugins": "python3,http",
            "virtualenv": f"{service.venv}",
            "http-socket": f"{HOST}:{service.port}",
            "http-chunked-input": "true",
            # Larger chunks than 1 MiB are refused by default.
            "chunked-input-limit": f"{8 * 2**20}",
            "module": service.application,
            "master": "true",
            "processes": "2",
            "need-app": "true",
            "die-on-term": "true",
            "logto": f"{service.home}/uwsgi.log",
            **(threads if self.threads else {}),
            **self.options,
        }

    def command(self, service: Service) -> Sequence[str]:
        """Return its command line."""
        return [need("uwsgi"), "--ini", str(service.home / "uwsgi.ini")]


_APACHE = """\
ServerRoot {home}
ServerName localhost
PidFile {home}/httpd.pid
DefaultRuntimeDir {home}
ErrorLog {home}/error.log
LogLevel info
Listen {host}:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {home}/wsgi
WSGIDaemonProcess glance home={home} processes=2 threads=16 \
python-home={venv} {options}
WSGIScriptAlias / {script} process-group=glance application-group=%{{GLOBAL}}
WSGIChunkedRequest On
WSGIPassAuthorization On
<Location />
Require all granted
</Location>
"""


@dataclass(frozen=True, slots=True)
class Apache:
    """Apache with mod_wsgi: two daemon processes.

    Attributes:
        options: What else `WSGIDaemonProcess` is told.
    """

    options: str = ""

    program = "apache2"

    @property
    def lacks(self) -> str:
        """Debian's apache2-bin and libapache2-mod-wsgi-py3."""
        there = (_MODULES / "mod_wsgi.so").exists()
        return "" if there else "apache2-bin and libapache2-mod-wsgi-py3"

    def files(self, service: Service) -> Mapping[Path, str]:
        """Return its configuration."""
        text = _APACHE.format(
            home=service.home,
            host=HOST,
            port=service.port,
            modules=_MODULES,
            venv=service.venv,
            options=self.options,
            script=service.script,
        )
        return {service.home / "httpd.conf": text}

    def command(self, service: Service) -> Sequence[str]:
        """Return its command line; as root, in a user namespace.

        mod_wsgi runs nothing as root, and nobody else may write where root's lab lies.
        """
        who = (f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
        disguise = () if os.geteuid() else (need("unshare"), "--user", *who)
        conf = str(service.home / "httpd.conf")
        return [*disguise, need("apache2"), "-f", conf, "-DFOREGROUND"]
