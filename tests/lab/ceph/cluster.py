"""A cluster of the lab, and what can happen to its daemons."""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rados
import rbd

from tests.lab.services import service as _service

_TRIES = 6
_LOOKS = 200
_UNDO = {"stop": "start", "kill": "start", "pause": "resume"}


class Ceph:
    """A cluster of the lab, asked as its administrator."""

    def __init__(self, told: Mapping[str, Any], **options: str) -> None:
        """Connect.

        Args:
            told: What lab.json says of it.
            options: Of this connection, beside those of a compute host.
        """
        self.fsid: str = told["fsid"]
        self.conf: str = told["conf"]
        self.monitors: str = told["mon_host"]
        self.keyrings: dict[str, str] = told["keyrings"]
        self.keyring: str = told["admin_keyring"]
        self._client = rados.Rados(
            name="client.admin",
            conffile=self.conf,
            conf={"keyring": self.keyring, **options},
        )
        self._client.connect()

    def close(self) -> None:
        self._client.shutdown()

    @contextmanager
    def pool(self, name: str) -> Iterator[rados.Ioctx]:
        with closing(self._client.open_ioctx(name)) as pool:
            yield pool

    @contextmanager
    def opened(
        self, pool: str, name: str, *, writable: bool = False
    ) -> Iterator[rbd.Image]:
        with (
            self.pool(pool) as disks,
            rbd.Image(disks, name, read_only=not writable) as image,
        ):
            yield image

    def names(self, pool: str) -> list[str]:
        with self.pool(pool) as opened:
            return sorted(rbd.RBD().list(opened))

    def drop(self, pool: str, name: str) -> None:
        """Remove an image with its snapshots, or a name that was left without one."""
        with self.pool(pool) as opened:
            with suppress(rbd.ImageNotFound), rbd.Image(opened, name) as seen:
                for snap in seen.list_snaps():
                    if seen.is_protected_snap(snap["name"]):
                        seen.unprotect_snap(snap["name"])
                    seen.remove_snap(snap["name"])
            with suppress(rbd.ImageNotFound):
                rbd.RBD().remove(opened, name)

    def client_conf(self, file: Path, keyring: Path | str) -> Path:
        """Write a ceph.conf of a host that uses the cluster; no bounds in it."""
        told = {"fsid": self.fsid, "mon_host": self.monitors, "keyring": keyring}
        lines = [f"{key} = {value}" for key, value in told.items()]
        # Else they would lie in /var/log/ceph and /var/run/ceph.
        lines += ["[client]", "log_file =", "admin_socket ="]
        file.write_text("\n".join(["[global]", *lines, ""]))
        return file

    def awake(self) -> None:
        """Return once its OSD answers; the client itself waits."""
        for _ in range(_TRIES):
            with suppress(rados.Error, rbd.Error):
                self.names("images")
                return
        pytest.fail("the cluster does not answer: see `python -m lab status`")

    def run(self, tool: str, *words: str) -> str:
        who = ["-c", self.conf, "--keyring", self.keyring, "-n", "client.admin"]
        done = subprocess.run(
            [tool, *who, *words], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def json(self, tool: str, *words: str) -> Any:
        return json.loads(self.run(tool, *words, "--format", "json"))

    @contextmanager
    def throttled(
        self, pool: str, bytes_per_second: int, *, what: str = "write"
    ) -> Iterator[None]:
        """Have librbd be slow with every image of a pool that is opened meanwhile.

        Args:
            pool: Which.
            bytes_per_second: For each image.
            what: `write` or `read`.
        """
        limit = f"rbd_qos_{what}_bps_limit"
        config = ("config", "pool")
        self.run("rbd", *config, "set", pool, limit, str(bytes_per_second))
        try:
            yield
        finally:
            self.run("rbd", *config, "remove", pool, limit)

    @contextmanager
    def full(self, pool: str) -> Iterator[None]:
        """Have a pool at its quota; it has to have two objects at least."""
        self._quota(pool, 1)
        try:
            self._until_full(pool, full=True)
            yield
        finally:
            self._quota(pool, 0)
            self._until_full(pool, full=False)

    def _quota(self, pool: str, objects: int) -> None:
        words = ("osd", "pool", "set-quota", pool, "max_objects", str(objects))
        self.run("ceph", *words)

    def _until_full(self, pool: str, *, full: bool) -> None:
        """Return once the monitors have looked; every question takes a process."""
        for _ in range(_LOOKS):
            told = self.run("ceph", "health", "detail")
            if (f"pool '{pool}' is full" in told) is full:
                return
        pytest.fail(f"pool {pool} was never seen full ({full})")

    @contextmanager
    def may(self, user: str, **caps: str) -> Iterator[None]:
        """Have a user with other caps; it has its own again afterwards."""
        entity = f"client.{user}"
        [has] = self.json("ceph", "auth", "get", entity)
        self._allow(entity, has["caps"] | caps)
        try:
            yield
        finally:
            self._allow(entity, has["caps"])

    def _allow(self, entity: str, caps: dict[str, str]) -> None:
        words = [word for pair in caps.items() for word in pair]
        self.run("ceph", "auth", "caps", entity, *words)

    def digest(self, pool: str, name: str) -> str:
        """Return the SHA-256 of an image's bytes."""
        with self.opened(pool, name) as seen:
            return hashlib.sha256(seen.read(0, seen.size())).hexdigest()

    def empty_trash(self, pool: str, name: str) -> None:
        """Remove what has a name in the trash of a pool, with its snapshots."""
        with self.pool(pool) as opened:
            thrown = [
                each["id"]
                for each in rbd.RBD().trash_list(opened)
                if each["name"] == name
            ]
            for number, rbd_id in enumerate(thrown):
                back = f"{name}.thrown{number}"
                rbd.RBD().trash_restore(opened, rbd_id, back)
                self.drop(pool, back)


service = partial(_service, "ceph")
"""Does something to a service of the lab, as in `edge-osd stop`."""


@contextmanager
def without(ceph: Ceph, daemon: str, how: str) -> Iterator[None]:
    """Have a daemon stopped, killed or paused; it is back afterwards.

    Args:
        ceph: Its cluster.
        daemon: Such as `edge-osd`.
        how: `stop`, `kill` or `pause`.
    """
    try:
        service(daemon, how)
        yield
    finally:
        service(daemon, _UNDO[how])
        ceph.awake()
