"""The composition root: the only place that names concrete classes."""

import random
import threading
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from weakref import WeakValueDictionary

from cowpath.catalog.glance import GlanceCatalog
from cowpath.catalog.on_behalf import OnBehalf
from cowpath.catalog.session import connect
from cowpath.catalog.transport import Transport
from cowpath.catalog.when_asked import WhenAsked
from cowpath.catalog.wire import image
from cowpath.clock import SystemClock
from cowpath.config import Config, load
from cowpath.copying import CopySettings, CopyStore, FileImages
from cowpath.core.errors import (
    ConflictError,
    NoSpaceError,
    NotFoundError,
    UntrustedError,
)
from cowpath.core.model import Image, StoreName
from cowpath.core.ports import Catalog, Clock, Observer, Receiver, SitePorts
from cowpath.core.transfer import ImageStore, Terms
from cowpath.hypervisor.when_needed import WhenNeeded
from cowpath.inside import Inside
from cowpath.observers.silence import Silence
from cowpath.provision.transfer import Transfer
from cowpath.provision.ways.ask_glance import AskGlance, Flights
from cowpath.provision.ways.following import Target
from cowpath.site import Site
from cowpath.stores import STORES
from cowpath.stores.elsewhere import ElsewhereBases
from cowpath.stores.file.config import FileImageConfig
from cowpath.stores.file.copy import FileImageStore
from cowpath.stores.offloaded import Offload, Offloaded, importing
from cowpath.stores.rbd.config import RbdConfig


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
    way = _way(config, store, catalog=catalog, clock=clock, observer=watcher)
    return Site(
        SitePorts(
            store=config.store.store,
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


def inside(
    config: Config,
    observer: Observer,
    offload: Offload,
    threads: ModuleType | None = None,
) -> Inside:
    """Return the site for a service which has a Glance client of its own.

    Args:
        config: Credentials in it are used where it has any; else the service's client.
        observer: Is told what happens.
        offload: Runs what blocks in C.
        threads: The `threading` of those threads, where it is not everybody's.
    """
    clock = SystemClock()
    with importing(threads):
        store = STORES[config.kind].make(config.store, clock)
    bases = Offloaded(store, offload)
    flights: WeakValueDictionary[Hashable, Flights] = WeakValueDictionary()
    one_at_a_time = threading.Lock()

    def way(transport: Transport, caller: Hashable) -> AskGlance:
        catalog, whose = _callers(config, transport, caller)
        with one_at_a_time:
            shared = flights.setdefault(whose, Flights())
        return _way(
            config,
            bases,
            catalog=catalog,
            clock=clock,
            observer=observer,
            inflight=shared,
        )

    return Inside(config.store.store, bases, way, image, store.close)


def _callers(
    config: Config, transport: Transport, caller: Hashable
) -> tuple[Catalog, Hashable]:
    """Return who asks Glance, and whose copies those are to follow."""
    if config.glance.auth_type or config.glance.cloud:
        return _catalog(config), None
    own = GlanceCatalog(transport)
    if config.copier is None:
        return own, caller
    copier = config.copier
    return OnBehalf(own, GlanceCatalog(WhenAsked(lambda: connect(copier)))), caller


def _way(
    config: Config,
    store: Receiver,
    *,
    catalog: Catalog,
    clock: Clock,
    observer: Observer,
    inflight: Flights | None = None,
) -> AskGlance:
    here = Target(
        config.store.store, store, store, min_free=config.min_free, repair=config.repair
    )
    return AskGlance(
        store=here.store,
        target=lambda name: here if name == here.store else elsewhere(name),
        catalog=catalog,
        patience=config.patience,
        clock=clock,
        observer=observer,
        jitter=random.random,
        inflight=inflight or Flights(),
    )


@dataclass(frozen=True, slots=True)
class Copying:
    """What moves images' bytes between stores.

    Attributes:
        transfer: The verb.
        stores: Those that it can read and write.
        terms: How one store's images are copied to another.
    """

    transfer: Transfer
    stores: Mapping[StoreName, ImageStore]
    terms: Terms

    def has(self, image: Image, store: StoreName) -> bool:
        """Tell whether a store has an image as Glance describes it.

        Raises:
            UnavailableError: It does not answer.
        """
        try:
            with self.stores[store].original(image, self.terms):
                return True
        except (NotFoundError, UntrustedError):
            return False

    def listed(self, image: Image, store: StoreName) -> None:
        """Have a store know that Glance lists what was copied to it, if it is ours."""
        if store in self.stores:
            self.stores[store].listed(image)

    def forget(self, image: Image, store: StoreName) -> None:
        """Remove what an interrupted copy left, published or not.

        Args:
            image: As Glance has it now; must not be listed in the store.
            store: Where. One that is not there any more has nothing of ours to find.

        Raises:
            ConflictError: It is no copy of ours.
        """
        if store in image.stores or store not in self.stores:
            return
        with (
            # A file store that is full begins no draft, and withdraws one.
            suppress(ConflictError, NoSpaceError),
            self.stores[store].draft(image, self.terms) as draft,
        ):
            draft.discard()
        self.stores[store].withdraw(image)


def copying(
    stores: Mapping[StoreName, CopyStore], settings: CopySettings, observer: Observer
) -> Copying:
    """Return what copies images between stores. Nothing is contacted yet.

    Args:
        stores: What each is made of.
        settings: On which terms.
        observer: Is told what happens.
    """
    clock = SystemClock()
    made = {name: _image_store(each, clock) for name, each in stores.items()}
    transfer = Transfer(made, settings.costs, settings.terms, clock, observer)
    return Copying(transfer, made, Terms(settings.verify, None, settings.lanes))


def _image_store(told: CopyStore, clock: Clock) -> ImageStore:
    if isinstance(told, FileImages):
        files = FileImageConfig(told.store, told.folder, told.permissions)
        return FileImageStore(files, clock)
    cluster = RbdConfig(
        told.store,
        told.pool,
        (told.pool,),
        conf=told.conf,
        user=told.user,
        connect_timeout=told.connect_timeout,
        makes_disks=False,
    )
    module = STORES["rbd"].imported("cowpath.stores.rbd.copy", told.store)
    made: ImageStore = module.RbdImageStore(cluster, order=told.order)
    return made


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
