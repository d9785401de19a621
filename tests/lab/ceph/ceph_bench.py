"""The lab of kind ceph as a test uses it, with real sites and Glance."""

import json
import sqlite3
from contextlib import closing, suppress
from typing import Any
from uuid import uuid4

from tests.lab.bench import Bench, Ran
from tests.lab.ceph.cluster import Ceph

EDGE = "edge"
_PATCH = "application/openstack-images-v2.1-json-patch"
VMS = "vms"
IMAGES = "images"


class CephBench(Bench):
    """Makes images and disks in the lab, and removes all of them at the end.

    Attributes:
        clusters: By site.
    """

    def __init__(self, lab: dict[str, Any], clusters: dict[str, Ceph]) -> None:
        super().__init__(lab)
        self.clusters = clusters

    def run(  # type: ignore[override]  # words are text here
        self, *words: str, conf: str = "", site: str = EDGE, cloud: str = "lab-admin"
    ) -> Ran:
        """Run a cowpath command to its end."""
        return super().run(*words, conf=conf, site=site, cloud=cloud)

    def cowpath(self, *words: str, site: str = EDGE, conf: str = "") -> Ran:
        """Run a cowpath command that must succeed."""
        ran = self.run(*words, site=site, conf=conf)
        assert ran.code == 0, ran
        return ran

    def patch(self, image: str, changes: list[dict[str, Any]]) -> None:
        """Change an image by JSON patch."""
        headers = {"Content-Type": _PATCH}
        # Encoded here: a list would be sent as it is.
        self.ask(
            "PATCH", f"/v2/images/{image}", json.dumps(changes).encode(), **headers
        )

    def forge(self, image: str, url: str) -> None:
        """Have Glance show a location in store `edge` that it would not take itself."""
        told = (image, url, json.dumps({"store": EDGE}))
        self._database(
            "INSERT INTO image_locations (image_id, value, meta_data, status, deleted, "
            "created_at) VALUES (?, ?, ?, 'active', 0, datetime('now'))",
            told,
        )

    def forget_location(self, image: str, url: str) -> None:
        """Remove a location behind Glance's back.

        Glance itself would take along the data that it names, whosever they are.
        """
        words = "DELETE FROM image_locations WHERE image_id = ? AND value = ?"
        self._database(words, (image, url))

    def _database(self, words: str, told: tuple[str, ...]) -> None:
        with closing(sqlite3.connect(self.lab["glance"]["database"])) as database:
            database.execute(words, told)
            database.commit()

    def name(self, site: str = EDGE) -> str:
        """Return a name for a new disk, which is removed at the end."""
        made = f"bench-{uuid4().hex[:8]}"
        self._disks.append((site, made))
        return made

    def info(self, name: str, site: str = EDGE, pool: str = VMS) -> dict[str, Any]:
        """Return what `rbd info` says."""
        told: dict[str, Any] = self.clusters[site].json("rbd", "info", f"{pool}/{name}")
        return told

    def clear(self) -> None:
        """Remove guests, disks and images that were made."""
        guests = self.virsh("list", "--all", "--name").split()
        for site, name in self._disks:
            if name in guests:
                with suppress(AssertionError):  # it may be off, or gone when off
                    self.virsh("destroy", name)
                with suppress(AssertionError):
                    self.virsh("undefine", name)
            self.clusters[site].drop(VMS, name)
        self._disks.clear()
        for image in [*self._images]:
            with suppress(AssertionError):
                self.delete(image)
        self._images.clear()
