"""A connection to a cluster, kept until its last user has left."""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import rados

from cowpath.core.errors import ConfigError
from cowpath.stores.rbd._bounds import bounds
from cowpath.stores.rbd.config import RbdConfig


class Connection:
    """A connection to a cluster, and the pools that were opened through it.

    librados frees what other threads still use when it is shut down under them, so
    that waits until the last user has left.
    """

    def __init__(self, client: rados.Rados) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._pools: dict[str, rados.Ioctx] = {}
        self._users = 0
        self._retired = False

    def enter(self) -> None:
        """Begin to use it."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Use it no more."""
        with self._lock:
            self._users -= 1
            over = self._retired and not self._users
        if over:
            self._end()

    def retire(self) -> None:
        """Shut it down once nobody uses it; nobody enters any more."""
        with self._lock:
            over = not self._retired and not self._users
            self._retired = True
        if over:
            self._end()

    def pool(self, name: str, who: str) -> rados.Ioctx:
        """Return an I/O context of the pool; kept open.

        Raises:
            ConfigError: The cluster has no such pool.
        """
        found = self._pools.get(name)
        if found is None:
            opened = self._open(name, who)
            with self._lock:
                found = self._pools.setdefault(name, opened)
            if found is not opened:
                opened.close()
        return found

    def _open(self, name: str, who: str) -> rados.Ioctx:
        if name not in self.client.list_pools():
            # It may be new. The monitors know, and answer or fail within a bound;
            # open_ioctx of a missing pool would wait for them for ever.
            known = command(self.client, "osd pool ls", {})
            if name not in known:
                raise ConfigError(
                    f"there is no pool {name} in the cluster ({who}); it has: "
                    f"{', '.join(sorted(known)) or 'none'}"
                )
        opened = self.client.open_ioctx(name)
        # A full pool then refuses at once what would need room, and allows deleting;
        # without it both wait until there is room, or for their bound.
        opened.set_osdmap_full_try()
        return opened

    def _end(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self.client.shutdown()


def leave_one(left: list[Connection]) -> None:
    with suppress(IndexError):  # whoever takes it leaves it
        left.pop().leave()


def connect(config: RbdConfig, options: Mapping[str, str]) -> rados.Rados:
    """Return a client that is connected, with the bounds of `config` and `options`.

    Raises:
        rados.Error: The cluster cannot be reached.
    """
    client = rados.Rados(
        rados_id=config.user or None,
        conffile=config.conf,
        conf={**bounds(config), **options},
    )
    try:
        client.connect()
    except BaseException:
        client.shutdown()
        raise
    return client


def command(
    client: rados.Rados, prefix: str, words: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return what the monitors answer to a read-only command.

    Raises:
        rados.Error: They refused it, or did not answer.
    """
    asked = json.dumps({"prefix": prefix, "format": "json", **words})
    number, out, said = client.mon_command(asked, b"")
    if number:
        # Not raised by the binding (measured): a tuple tells of a timeout too.
        raise rados.OSError(said or prefix, errno=-number)
    answer: Mapping[str, Any] = json.loads(out)
    return answer
