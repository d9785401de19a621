"""The lab's two clusters as the cold benchmarks use them: sources, counters, cleaning.

All of it as the clusters' administrator, and none of it inside what is timed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import rados
import rbd

from benchmarks.cold_shapes import Shape
from lab.admin_socket import ask
from lab.processes import find
from lab.waiting import wait_until
from tests.lab.ceph.cluster import Ceph

POOL = "images"
SNAP = "snap"
_ORDER = 23
_OBJECT = 2**_ORDER
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Of the ids of all images here, so that the next run knows what a killed one left.
_OURS = "be9c4000-"
_NOTE = f"cowpath.copy.{_OURS}"
# A killed client has what it opened for half a minute.
_FREE_WITHIN_SECONDS = 60
_SETTLED_WITHIN_SECONDS = 60
_PAUSE, _NO_PAUSE = "osd_snap_trim_sleep", "0.0001"
# Of /proc/PID/stat, behind the name: its user and system time, and its children's.
_TIMES = slice(11, 15)


@dataclass(frozen=True, slots=True)
class Source:
    """An image at the source: what Glance would know of it."""

    image: str
    shape: Shape
    sha512: str
    allocated: int


class Cluster(Ceph):
    """One cluster of a lab."""

    def __init__(self, name: str, told: Mapping[str, Any]) -> None:
        # Cleaning waits for a busy disk; what is timed has the lab's own bounds.
        super().__init__(told, rados_osd_op_timeout="60")
        self.name = name
        self._folder = Path(self.conf).parents[1]
        self._ignored: set[str] = set()

    def url(self, image: str) -> str:
        """Return an image's location as Glance writes it."""
        return f"rbd://{self.fsid}/{POOL}/{image}/{SNAP}"

    def make(self, shape: Shape) -> Source:
        """Make an image with random data and holes, thin, as a clone source."""
        image, digest, end = new_id(), hashlib.sha512(), 0
        with self.pool(POOL) as pool:
            rbd.RBD().create(pool, image, shape.size, order=_ORDER)
            with rbd.Image(pool, image) as opened, ThreadPoolExecutor(1) as writer:
                # Side by side: hashing 16 GiB takes half a minute.
                written = writer.submit(int)
                for offset in shape.offsets():
                    data = os.urandom(shape.piece)
                    written.result()
                    written = writer.submit(opened.write, data, offset)
                    _hash_zeros(digest, offset - end)
                    digest.update(data)
                    end = offset + shape.piece
                written.result()
                opened.create_snap(SNAP)
                opened.protect_snap(SNAP)
        _hash_zeros(digest, shape.size - end)
        return Source(image, shape, digest.hexdigest(), self.allocated(image))

    def twin(self, source: Source) -> Source:
        """Make an image with the same bytes."""
        image = new_id()
        with (
            self.pool(POOL) as pool,
            rbd.Image(pool, source.image, snapshot=SNAP, read_only=True) as opened,
        ):
            opened.deep_copy(pool, image, order=_ORDER)
        return replace(source, image=image)

    def allocated(self, image: str) -> int:
        """Return the bytes of an image that take room: each object to its end."""
        found: list[int] = []
        with self.pool(POOL) as pool:
            try:
                with rbd.Image(pool, image, read_only=True) as opened:
                    opened.diff_iterate(
                        0, opened.size(), None, lambda _, size, __: found.append(size)
                    )
            except rbd.ImageNotFound:
                return 0
        return sum(found)

    @contextmanager
    def trimming_at_once(self) -> Iterator[None]:
        """Have its OSD remove what snapshots held without a pause between objects."""
        self._configure("config set", value=_NO_PAUSE)
        try:
            yield
        finally:
            self._configure("config rm")

    def _configure(self, prefix: str, **more: str) -> None:
        command = {"prefix": prefix, "who": "osd", "name": _PAUSE, **more}
        code, _, said = self._client.mon_command(json.dumps(command), b"")
        if code:
            raise RuntimeError(f"{self.name}: {prefix} {_PAUSE}: {said}")

    def settle(self) -> None:
        """Wait until nothing is left of images that were removed.

        What a snapshot held is trimmed later, and whoever is measured would feel it.
        """
        wait_until(
            lambda: self._strays() <= self._ignored,
            within_seconds=_SETTLED_WITHIN_SECONDS,
        )
        # Objects of a copy that was killed and removed by other hands stay for ever.
        self._ignored = self._strays()

    def _strays(self) -> set[str]:
        """Return the prefixes of objects that are no image's."""
        with self.pool(POOL) as pool:
            names = [each.key.split(".") for each in pool.list_objects()]
        has = {name[1] for name in names if name[0] == "rbd_header"}
        return {name[1] for name in names if name[0] == "rbd_data"} - has

    def sweep(self) -> None:
        """Remove what this run and killed ones have left."""
        with self.pool(POOL) as pool:
            for name in rbd.RBD().list(pool):
                if _OURS in name:
                    self._sweep_image(pool, name)
            for each in list(pool.list_objects()):
                if each.key.startswith(_NOTE):
                    pool.remove_object(each.key)

    def _sweep_image(self, pool: rados.Ioctx, name: str) -> None:
        def is_gone() -> bool:
            try:
                _roll_back(pool, name)
                self.drop(POOL, name)
            except (rbd.ImageBusy, rbd.ReadOnlyImage):
                return False
            return True

        if not wait_until(is_gone, within_seconds=_FREE_WITHIN_SECONDS):
            raise RuntimeError(f"Image {POOL}/{name} of {self.name} is in use.")

    def osd_pids(self) -> list[int]:
        """Return the ids of its OSD's processes."""
        return [process.pid for process in find("ceph-osd", self._folder)]

    def traffic(self) -> tuple[int, int]:
        """Return the bytes that its OSD has sent to and got from its clients."""
        told = ask(self._folder / "run/osd.asok", "perf dump").get("osd")
        if not isinstance(told, dict):
            return 0, 0
        return int(told["op_out_bytes"]), int(told["op_in_bytes"])


def new_id() -> str:
    """Return an id for an image that `sweep` knows."""
    return f"{_OURS}{str(uuid4())[len(_OURS) :]}"


def _roll_back(pool: rados.Ioctx, name: str) -> None:
    """Have an image that was half copied know which objects it has.

    librbd keeps only the snapshot's until it is done, and removes those it knows.
    """
    with suppress(rbd.ImageNotFound), rbd.Image(pool, name) as opened:
        if any(each["name"] == SNAP for each in opened.list_snaps()):
            opened.rollback_to_snap(SNAP)


def _hash_zeros(digest: "hashlib._Hash", length: int) -> None:
    zeros = bytes(_OBJECT)
    while length > 0:
        digest.update(zeros[:length] if length < _OBJECT else zeros)
        length -= _OBJECT


def cpu_of(pids: list[int]) -> float:
    """Return the CPU seconds that processes and their ended children have taken."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            ticks += sum(map(int, stat.rpartition(")")[2].split()[_TIMES]))
    return ticks / _TICKS_PER_SECOND
