"""The composition root: the only place that names concrete classes."""

import random
from collections.abc import Sequence

from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.session import connect
from cowpath.catalog.when_asked import WhenAsked
from cowpath.clock import SystemClock
from cowpath.config import Config, load
from cowpath.core.model import Base, StoreName
from cowpath.core.ports import Bases, Observer, SitePorts
from cowpath.hypervisor.when_needed import WhenNeeded
from cowpath.observers.silence import Silence
from cowpath.provision.inflight import Inflight
from cowpath.provision.ways.ask_glance import AskGlance
from cowpath.site import Site
from cowpath.stores import STORES
from cowpath.stores.elsewhere import ElsewhereBases


def build(config: Config, observer: Observer | None = None) -> Site:
    """Return the site that `config` describes. Nothing is contacted yet.

    Args:
        config: From `cowpath.config.load`.
        observer: Is told what happens; None: nobody is.
    """
    watcher = observer or Silence()
    catalog = GlanceCatalog(WhenAsked(lambda: connect(config.glance)))
    clock = SystemClock()
    store = STORES[config.kind].make(config.store, clock)

    inflight: Inflight[Base] = Inflight()

    def way_to(name: StoreName, bases: Bases) -> AskGlance:
        return AskGlance(
            store=name,
            catalog=catalog,
            bases=bases,
            patience=config.patience,
            clock=clock,
            observer=watcher,
            jitter=random.random,
            inflight=inflight,
        )

    return Site(
        SitePorts(
            store=config.store.store,
            catalog=catalog,
            bases=store,
            disks=store,
            pool=store,
            hypervisor=WhenNeeded(config.hypervisor),
            ways=(way_to(config.store.store, store),),
            way_to=lambda name: way_to(name, ElsewhereBases(name)),
            patience=config.patience,
            clock=clock,
            observer=watcher,
            close=store.close,
        )
    )


def open_site(
    files: Sequence[str] = (), *, cloud: str = "", observer: Observer | None = None
) -> Site:
    """Return the site that configuration files describe. Nothing is contacted yet.

    Args:
        files: oslo.config INI files, later ones win; none: /etc/cowpath/cowpath.conf.
        cloud: A cloud of clouds.yaml; empty: as configured.
        observer: Is told what happens; None: nobody is.

    Raises:
        ConfigError: The configuration is wrong or incomplete.
    """
    return build(load(files, cloud=cloud), observer)
