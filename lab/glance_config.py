"""Glance's configuration files, as text."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.glance_stores import DATADIR, Backend
from lab.layout import DEFAULT_STORE, Layout

Sections = dict[str, dict[str, str]]

STOCK = "glance.wsgi.api:application"
"""What Glance's own documentation has a WSGI server serve."""

_PASTE = """\
[pipeline:glance-api-{flavor}]
pipeline = versionnegotiation whoisit context rootapp

[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app

[app:apiversions]
paste.app_factory = glance.api.versions:create_resource

[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory

[filter:versionnegotiation]
paste.filter_factory = \
glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory

[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory

[filter:whoisit]
paste.filter_factory = {factory}
delay_auth_decision = true
"""


def paste(flavor: str, factory: str) -> str:
    """Return a pipeline with one flavour.

    Args:
        flavor: What [paste_deploy] calls it.
        factory: Of the middleware that knows who is asking.
    """
    return _PASTE.format(flavor=flavor, factory=factory)


def standard(layout: Layout, url: str, backends: Sequence[Backend]) -> Sections:
    """Return the lab's standard Glance configuration.

    Args:
        layout: Where the lab lies.
        url: Where Glance will listen.
        backends: Its stores.

    Returns:
        Sections of keys and values.
    """
    home = layout.glance
    kinds = [f"{backend.name}:{backend.kind}" for backend in backends]
    return {
        "DEFAULT": {
            "log_file": str(home / "glance.log"),
            "public_endpoint": url,
            "worker_self_reference_url": url,
            "enabled_backends": ",".join(kinds),
            "enabled_import_methods": "[glance-direct,copy-image]",
            "show_image_direct_url": "True",
            "show_multiple_locations": "True",
        },
        "glance_store": {"default_backend": DEFAULT_STORE},
        **{backend.name: dict(backend.options) for backend in backends},
        "os_glance_staging_store": {DATADIR: str(home / "staging")},
        "os_glance_tasks_store": {DATADIR: str(home / "tasks")},
        "paste_deploy": {"config_file": str(home / "etc/paste.ini")},
        "task": {"work_dir": str(home / "tasks")},
        # With the default, parallel, a SIGTERM breaks a running copy and leaves its
        # import lock behind.
        "taskflow_executor": {"engine_mode": "serial"},
        # Without it POST /v2/images/ID/locations makes an image nobody can delete.
        "oslo_concurrency": {"lock_path": str(home / "locks")},
        "image_import_opts": {"image_import_plugins": "['image_conversion']"},
        "image_conversion": {"output_format": "raw"},
    }


def merge(sections: Sections, more: Sections) -> Sections:
    """Return a configuration with keys and values added."""
    names = [*sections, *(name for name in more if name not in sections)]
    return {name: {**sections.get(name, {}), **more.get(name, {})} for name in names}


def override(sections: Sections, settings: Iterable[str]) -> Sections:
    """Return a configuration with some values of its own.

    Args:
        sections: What they are added to.
        settings: `SECTION.KEY=VALUE` each.

    Raises:
        LabError: One of them is not of that form.
    """
    result = {name: dict(keys) for name, keys in sections.items()}
    for setting in settings:
        place, equals, value = setting.partition("=")
        section, dot, key = place.partition(".")
        if not (equals and dot and section and key):
            message = f"--set takes SECTION.KEY=VALUE, not {setting!r}."
            raise LabError(message)
        result.setdefault(section, {})[key] = value
    return result


def gunicorn(
    home: Path,
    port: int,
    application: str = STOCK,
    *,
    threads: int = 16,
    workers: int = 1,
) -> str:
    """Return gunicorn's configuration file.

    Args:
        home: The service's folder in the lab.
        port: Where to listen, on the loopback address.
        application: What it serves.
        threads: How many requests at once, in each worker.
        workers: How many processes.
    """
    settings: dict[str, object] = {
        # It becomes the processes' title, by which the lab finds them.
        "proc_name": f"{home}/",
        "wsgi_app": application,
        "bind": f"127.0.0.1:{port}",
        "workers": workers,
        "worker_class": "gthread",
        "threads": threads,
        # Copies run in the worker, longer than any request may.
        "timeout": 0,
        "graceful_timeout": 120,
        # By default 2 s, as long as clients wait between two looks: a request may then
        # meet the end of its connection, and has no answer.
        "keepalive": 75,
        "chdir": str(home),
        "worker_tmp_dir": str(home),
        # It would lie in the home directory.
        "control_socket_disable": True,
        "accesslog": str(home / "access.log"),
        "access_log_format": "%(m)s %(U)s %(s)s %(L)s %(t)s",
    }
    return "".join(f"{name} = {value!r}\n" for name, value in settings.items())
