"""Our own copy as a library's call: the verb over two RBD stores, Glance apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.cold_clusters import POOL, Cluster, Source
from cowpath.clock import SystemClock
from cowpath.core.errors import CowpathError
from cowpath.core.model import Bytes, Image, ImageId, StoreName
from cowpath.core.transfer import Terms, Verify
from cowpath.observers.silence import Silence
from cowpath.provision.transfer import Transfer
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.copy import RbdImageStore

_USER = "glance"
_DISKS = "vms"


class Ours:
    """Copies between two clusters on connections that stay open."""

    def __init__(self, source: Cluster, target: Cluster) -> None:
        self._from, self._to = StoreName(source.name), StoreName(target.name)
        self._stores = {
            StoreName(each.name): RbdImageStore(_config(each))
            for each in (source, target)
        }

    def close(self) -> None:
        """Close the connections."""
        for store in self._stores.values():
            store.close()

    def by(
        self, verify: Verify, bandwidth: int | None = None
    ) -> Callable[[Source], None]:
        """Return what copies an image.

        Args:
            verify: What is proved of a copy.
            bandwidth: Bytes per second at most.
        """
        limit = Bytes(bandwidth) if bandwidth else None
        terms = Terms(verify=verify, bandwidth=limit)
        transfer = Transfer(
            self._stores, {}, lambda *_: terms, SystemClock(), Silence()
        )

        def copy(what: Source) -> None:
            outcomes = transfer.copy(
                self._image(what), [self._to], all_or_none=True, register=_nobody
            )
            outcome = outcomes[self._to]
            if isinstance(outcome, CowpathError):
                raise outcome

        return copy

    def _image(self, what: Source) -> Image:
        return Image(
            ImageId(what.image),
            what.shape.name,
            size=Bytes(what.shape.size),
            stores=frozenset({self._from}),
            hash=f"sha512:{what.sha512}",
        )


def _config(cluster: Cluster) -> RbdConfig:
    # A store of images makes no disks, but has to be told where they would be.
    return RbdConfig(StoreName(cluster.name), _DISKS, (POOL,), cluster.conf, _USER)


def _nobody(*_: object) -> None:
    """Register nothing: there is no Glance here."""


@contextmanager
def ours(source: Cluster, target: Cluster) -> Iterator[Ours]:
    """Give our copies, and close what they opened."""
    opened = Ours(source, target)
    try:
        yield opened
    finally:
        opened.close()
