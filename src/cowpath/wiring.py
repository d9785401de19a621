"""The composition root: the only place that names concrete classes."""

import random
from collections.abc import Sequence

from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.on_behalf import OnBehalf
from cowpath.catalog.session import connect
from cowpath.catalog.when_asked import WhenAsked
from cowpath.clock import SystemClock
from cowpath.config import Config, load
from cowpath.core.model import StoreName
from cowpath.core.ports import Catalog, Observer, SitePorts
from cowpath.hypervisor.when_needed import WhenNeeded
from cowpath.observers.silence import Silence
from cowpath.provision.ways.ask_glance import AskGlance
from cowpath.provision.ways.following import Target
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
    clock = SystemClock()
    catalog = _catalog(config)
    store = STORES[config.kind].make(config.store, clock)
    here = Target(
        config.store.store, store, store, min_free=config.min_free, repair=config.repair
    )
    way = AskGlance(
        store=here.store,
        target=lambda name: here if name == here.store else elsewhere(name),
        catalog=catalog,
        patience=config.patience,
        clock=clock,
        observer=watcher,
        jitter=random.random,
    )
    return Site(
        SitePorts(
            store=here.store,
            catalog=catalog,
            bases=store,
            disks=store,
            pool=store,
            hypervisor=WhenNeeded(config.hypervisor),
            ways=(way,),
            placer=way,
            patience=config.patience,
            clock=clock,
            observer=watcher,
            close=store.close,
        )
    )


def elsewhere(store: StoreName) -> Target:
    """Return another site's store, as far as it can be seen from here."""
    return Target(store, ElsewhereBases(store))


def _catalog(config: Config) -> Catalog:
    own = GlanceCatalog(WhenAsked(lambda: connect(config.glance)))
    if config.copier is None:
        return own
    copier = config.copier
    return OnBehalf(own, GlanceCatalog(WhenAsked(lambda: connect(copier))))


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
