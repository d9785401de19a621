"""Where Glance looks up how it copies, and ours is put instead.

What else of this room is imported only once this Glance is known to be one that has
all that it imports.
"""

from importlib import import_module
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from cowpath.copying import load
from cowpath.core.errors import ConfigError
from cowpath.doors.glance import seams
from cowpath.doors.glance.files import read_by_glance
from cowpath.doors.glance.servers import in_each_worker

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_ROOM = "cowpath.doors.glance"


def application() -> Any:
    """Return Glance's own application, in which copy-image is ours.

    Raises:
        ConfigError: `[cowpath]` of Glance's files is wrong, or this Glance is not
            known and must not run then.
    """
    glances = import_module("glance.wsgi.api").application
    # Only now: Glance has read its files and opened its log.
    settings = load(read_by_glance())
    differs = "; ".join(seams.unknown())
    if not CONF.enabled_backends:
        LOG.warning("Glance has no enabled_backends: Cowpath copies nothing in it")
        return glances
    if differs and settings.refuse_unknown:
        raise ConfigError(
            f"Cowpath does not know this Glance: {differs}: serve "
            f"glance.wsgi.api:application, or set [cowpath] unknown_glance = stock"
        )
    if differs:
        LOG.error(
            "Cowpath does not know this Glance: %s. It runs as Glance's own: nothing "
            "of Cowpath copies images in it",
            differs,
        )
        return glances
    return _serving(glances)


def install() -> None:
    """Have Glance's engine, which looks it up by name, find our flow.

    And have its repository of tasks note the copies that wait for their turn.
    """
    flows: Any = import_module("glance.async_.flows.api_image_import")
    flows.get_flow = import_module(f"{_ROOM}.flow").replacing(flows.get_flow)
    tasks: Any = import_module("glance.db").TaskRepo
    tasks.add = import_module(f"{_ROOM}.admission").noting(tasks.add)


def _serving(glances: Any) -> Any:
    install()
    here, recovery, workers = (
        import_module(f"{_ROOM}.{name}") for name in ("here", "recovery", "workers")
    )
    site = here.here()
    LOG.info(
        "Cowpath copies images between %s; %s is proved of each copy",
        *(", ".join(sorted(site.copying.stores)), site.settings.verify.value),
    )
    made = workers.Serving(glances, recovery.look_on, here.forget)
    in_each_worker(made.begin)
    return made
