"""A site's store: where images arrive and disks are made. `STORES` lists the kinds."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from cowpath.core.errors import ConfigError, UsageError
from cowpath.core.model import StoreName
from cowpath.core.ports import Clock, Store
from cowpath.stores.file.config import FileConfig
from cowpath.stores.memory import MemoryConfig
from cowpath.stores.rbd.config import RbdConfig

StoreConfig = FileConfig | MemoryConfig | RbdConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of store.

    Attributes:
        config: What it must be told.
        module: Where its class is. Imported when the first one is made: a kind may
            need a library that only its users have.
        name: The class; takes the config.
        needs: Where to get what its module imports.
        timed: True if the class takes a clock too.
    """

    config: type[StoreConfig]
    module: str
    name: str
    needs: str = ""
    timed: bool = False

    def make(self, config: StoreConfig, clock: Clock | None = None) -> Store:
        """Return a store of this kind. Nothing is read or written yet.

        Args:
            config: What it must be told.
            clock: How it waits; those that never do need none.

        Raises:
            UsageError: `config` is another kind's, or the clock is missing.
            ConfigError: A library that this kind needs is not installed.
        """
        if not isinstance(config, self.config):
            raise UsageError(f"{self.name} takes {self.config.__name__}, not {config}")
        if self.timed and clock is None:
            raise UsageError(f"{self.name} waits at times: give it a clock")
        module = self.imported(self.module, config.store)
        given = (config, clock) if self.timed else (config,)
        store: Store = getattr(module, self.name)(*given)
        return store

    def imported(self, module: str, store: StoreName) -> ModuleType:
        """Return a module of this kind.

        Args:
            module: Its name.
            store: Who needs it, for the message.

        Raises:
            ConfigError: A library that this kind needs is not installed.
        """
        try:
            return import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"store {store} needs a library that {sys.executable} does not "
                f"find ({error}): {self.needs}"
            ) from error


STORES: Mapping[str, Kind] = {
    "file": Kind(FileConfig, "cowpath.stores.file.store", "FileStore", timed=True),
    "memory": Kind(MemoryConfig, "cowpath.stores.memory", "MemoryStore"),
    "rbd": Kind(
        RbdConfig,
        "cowpath.stores.rbd.store",
        "RbdStore",
        "install your distribution's python3-rados and python3-rbd, and use its own "
        "Python with system packages visible (python3 -m venv --system-site-packages); "
        "Ceph's bindings have no wheels",
    ),
}
