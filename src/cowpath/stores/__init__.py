"""A site's store: where images arrive and disks are made. `STORES` lists the kinds."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from cowpath.core.errors import UsageError
from cowpath.core.ports import Store
from cowpath.stores.file.config import FileConfig
from cowpath.stores.memory import MemoryConfig

StoreConfig = FileConfig | MemoryConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of store.

    Attributes:
        config: What it must be told.
        module: Where its class is. Imported when the first one is made: a kind may
            need a library that only its users have.
        name: The class; takes the config.
    """

    config: type[StoreConfig]
    module: str
    name: str

    def make(self, config: StoreConfig) -> Store:
        """Return a store of this kind. Nothing is read or written yet.

        Raises:
            UsageError: `config` is another kind's.
        """
        if not isinstance(config, self.config):
            raise UsageError(f"{self.name} takes {self.config.__name__}, not {config}")
        store: Store = getattr(import_module(self.module), self.name)(config)
        return store


STORES: Mapping[str, Kind] = {
    "file": Kind(FileConfig, "cowpath.stores.file.store", "FileStore"),
    "memory": Kind(MemoryConfig, "cowpath.stores.memory", "MemoryStore"),
}
