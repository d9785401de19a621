"""Glance processes beside the lab's own, to be asked in turn within one run.

All are on the same two clusters; each has a database of its own.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from benchmarks.cold_clusters import Source
from lab import memory
from lab.ceph_clusters import Clusters
from lab.glance import Glance
from lab.glance_stores import RbdStores
from lab.layout import CLUSTERS, Layout
from lab.waiting import wait_until

CENTRAL, EDGE = CLUSTERS
_PORTS = range(19700, 19800)
_ADMIN = "admin:admin-project:admin"
_COPY_WITHIN_SECONDS = 900
_LOOK_EVERY_SECONDS = 0.05
_LOCK = (
    "SELECT count(*) FROM image_properties WHERE image_id = ? AND deleted = 0 "
    "AND name = 'os_glance_import_task'"
)
_PATCH = "application/openstack-images-v2.1-json-patch"
_REFUSED = 300


class CopyingGlance:
    """A Glance that is asked for copies."""

    def __init__(self, lab: Layout, name: str, settings: Sequence[str] = ()) -> None:
        """Know where it lies; `start` makes it.

        Args:
            lab: Of the lab on whose clusters it is.
            name: Of the method that it serves.
            settings: SECTION.KEY=VALUE each.
        """
        self._lab = lab
        self._layout = layout = lab.bench(name)
        stores = RbdStores(layout, Clusters(lab).monitors)
        self._glance = Glance(layout, stores, _PORTS)
        self._settings = settings

    def start(self) -> None:
        """Start it with nothing in its database."""
        self.remove()
        memory.prepare_beside(self._layout.home, self._lab.home)
        self._glance.start(self._settings)

    def remove(self) -> None:
        """Stop it and remove what it wrote; the clusters are another matter."""
        self._glance.stop()
        memory.remove(self._layout.home)

    def pids(self) -> list[int]:
        """Return its processes."""
        return [process.pid for process in self._glance.processes()]

    def know(self, source: Source, url: str) -> None:
        """Register an image that lies in the central cluster."""
        self._ask(
            "POST",
            "/v2/images",
            {
                "id": source.image,
                "name": source.shape.name,
                "disk_format": "raw",
                "container_format": "bare",
            },
        )
        validation = {"os_hash_algo": "sha512", "os_hash_value": source.sha512}
        location = {
            "url": url,
            "metadata": {"store": CENTRAL},
            "validation_data": validation,
        }
        change = {"op": "add", "path": "/locations/-", "value": location}
        self._ask("PATCH", f"/v2/images/{source.image}", [change], kind=_PATCH)

    def copy(self, source: Source) -> None:
        """Ask for a copy at the edge, and return when Glance has given its lock back.

        Its database is looked at: ten requests a second took a tenth of its processor.
        """
        path = f"/v2/images/{source.image}"
        how = {"method": {"name": "copy-image"}, "stores": [EDGE]}
        self._ask("POST", f"{path}/import", how)
        wait_until(
            lambda: not self._is_locked(source.image),
            within_seconds=_COPY_WITHIN_SECONDS,
            every_seconds=_LOOK_EVERY_SECONDS,
        )
        told = self._ask("GET", path)
        if EDGE not in told["stores"].split(","):
            raise RuntimeError(
                f"Glance did not copy image {source.image}: {_why(told)}; its tasks: "
                f"{self._ask('GET', f'{path}/tasks')}"
            )

    def _is_locked(self, image: str) -> bool:
        where = f"file:{self._layout.glance / 'glance.sqlite'}?mode=ro"
        with closing(sqlite3.connect(where, uri=True, timeout=60)) as database:
            [(locks,)] = database.execute(_LOCK, (image,))
        return bool(locks)

    def forget_copy(self, source: Source) -> None:
        """Have it remove the copy at the edge."""
        self._ask("DELETE", f"/v2/stores/{EDGE}/{source.image}")

    def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str = "application/json",
    ) -> Any:
        headers = {"X-Auth-Token": _ADMIN, "Content-Type": kind}
        netloc = urlsplit(self._glance.url).netloc
        sent = json.dumps(body) if body is not None else None
        with closing(HTTPConnection(netloc, timeout=60)) as connection:
            connection.request(method, path, sent, headers)
            reply = connection.getresponse()
            text = reply.read()
        if reply.status >= _REFUSED:
            raise RuntimeError(f"{method} {path}: {reply.status} {text.decode()}")
        return json.loads(text) if text else None


def _why(told: Mapping[str, Any]) -> str:
    return str({key: told[key] for key in told if key.startswith("os_glance")})
