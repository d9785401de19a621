"""A Glance that serves our door, as a test uses it: its copies, and what they leave.

Looks at a copy are made below librbd: who opens an image is one of its watchers.
"""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import sha512
from pathlib import Path
from typing import Any

import rados
import rbd

from tests.lab.ceph.ceph_bench import IMAGES, CephBench
from tests.lab.ceph.cluster import Ceph, service

CENTRAL, EDGE = "central", "edge"
SLOW = 8 * 2**20
"""Bytes of a second, from `edge` to `central`."""
OBJECT = 8 * 2**20
"""Bytes of an object, as Glance makes them."""

_LOCK = "os_glance_import_task"
_FLAGS = ("os_glance_importing_to_stores", "os_glance_failed_import")
_STARTED = "Cowpath copies images between"
_LENGTH = 4
"""Bytes before a text in RBD's own objects."""


@dataclass(frozen=True, slots=True)
class Task:
    """What Glance says of a task."""

    status: str
    message: str


class Pool:
    """The images pool of a cluster, seen object by object."""

    def __init__(self, ceph: Ceph) -> None:
        self.ceph = ceph

    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        with self.ceph.pool(IMAGES) as pool, suppress(rados.ObjectNotFound):
            pool.stat(name)
            return True
        return False

    def id_of(self, name: str) -> str:
        """Return the internal id of an image; empty where there is none."""
        with self.ceph.pool(IMAGES) as pool, suppress(rados.ObjectNotFound):
            return bytes(pool.read(f"rbd_id.{name}"))[_LENGTH:].decode()
        return ""

    def data(self, rbd_id: str, number: int) -> str:
        """Return the name of an object with an image's bytes."""
        return f"rbd_data.{rbd_id}.{number:016x}"

    def objects(self, rbd_id: str, size: int) -> int:
        """Return how many objects with bytes an image of a size has."""
        names = [self.data(rbd_id, each) for each in range(-(-size // OBJECT))]
        return sum(map(self.has, names)) if rbd_id else 0

    @contextmanager
    def flipped(self, image: str, at: int) -> Iterator[None]:
        """Have another byte at a place of an image, also in its snapshots.

        As a disk that has lost it: librbd, which would keep the old one for a
        snapshot, does not know.
        """
        name, within = self.data(self.id_of(image), at // OBJECT), at % OBJECT
        with self.ceph.pool(IMAGES) as pool:
            [was] = pool.read(name, 1, within)
            pool.write(name, bytes([was ^ 1]), within)
            yield
            pool.write(name, bytes([was]), within)

    def everything(self) -> set[str]:
        """Return the names of all objects, but for those of Ceph's own bookkeeping."""
        with self.ceph.pool(IMAGES) as pool:
            found = {str(each.key) for each in pool.list_objects()}
        return {each for each in found if not each.startswith(_OWN)}

    def strangers(self) -> set[str]:
        """Return the objects that belong to no image which has a name."""
        found = self.everything()
        named = {each.removeprefix("rbd_id.") for each in found if _is_id(each)}
        ids = {self.id_of(each) for each in named}
        return {each for each in found if not _is_id(each) and not _owned(each, ids)}


_OWN = ("rbd_directory", "rbd_info", "rbd_children", "rbd_trash", "rbd_pool_settings")


def _is_id(name: str) -> bool:
    return name.startswith("rbd_id.")


def _owned(name: str, ids: set[str]) -> bool:
    return any(part in ids for part in name.split("."))


class Step(Enum):
    """What Glance's database is to do for a copy, as a trigger that refuses it."""

    LIST = (
        "CREATE TRIGGER refused BEFORE INSERT ON image_locations "
        "WHEN NEW.image_id = '{image}' "
        "BEGIN SELECT RAISE(FAIL, 'database is locked'); END"
    )
    SETTLE = (
        "CREATE TRIGGER refused BEFORE UPDATE ON image_properties "
        "WHEN NEW.image_id = '{image}' AND (SELECT count(*) FROM image_locations "
        "WHERE image_id = '{image}' AND status = 'active') > 1 "
        "BEGIN SELECT RAISE(FAIL, 'database is locked'); END"
    )
    UNLOCK = (
        "CREATE TRIGGER refused BEFORE DELETE ON image_properties "
        "WHEN OLD.image_id = '{image}' AND OLD.name = 'os_glance_import_task' "
        "BEGIN SELECT RAISE(FAIL, 'database is locked'); END"
    )


class Copying:
    """One copy that Glance was asked for.

    Attributes:
        image: Its id.
        target: The store that it goes to.
        task: The id of Glance's task.
    """

    def __init__(self, door: "DoorBench", image: str, target: str, task: str) -> None:
        self.door = door
        self.image = image
        self.target = target
        self.task = task
        self.pool = door.pools[target]
        self.size = int(door.bench.show(image)["size"])
        self._strange = self.pool.strangers() - {f"cowpath.copy.{image}"}

    # How far it is, from its beginning to its end

    def noted(self) -> bool:
        """Glance's host knows of it."""
        return bool(self.worker())

    def leased(self) -> bool:
        """The target's cluster knows who copies."""
        return self.pool.has(f"cowpath.copy.{self.image}")

    def begun(self) -> bool:
        """There is an image in the making."""
        return bool(self._draft())

    def arrived(self, part: float) -> bool:
        """So much of it has arrived, under another name still."""
        there = self.pool.objects(self._draft(), self.size)
        return there * OBJECT >= part * self.size

    def published(self) -> bool:
        """It has its own name, and Glance does not list it."""
        return bool(self.pool.id_of(self.image)) and not self._draft()

    def listed(self) -> bool:
        """Glance lists it, and has the import lock still."""
        return self._said(_LISTED, f'%"{self.target}"%') and self.locked()

    def settled(self) -> bool:
        """Glance's task has ended, and has the import lock still."""
        return self.door.task(self.task).status == "success" and self.locked()

    def locked(self) -> bool:
        """Glance has the import lock of the image."""
        return self._said(_LOCKED, _LOCK)

    def _draft(self) -> str:
        return self.pool.id_of(f"cowpath-copy-{self.image}")

    def _said(self, words: str, what: str) -> bool:
        return bool(self.door.rows(words, self.image, what))

    # Its process

    def worker(self) -> int:
        """Return the process that runs it; 0 where none does."""
        with suppress(FileNotFoundError):
            inode = (self.door.records / f"{self.task}.copy").stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                words = line.split()
                if words[1] == "FLOCK" and words[-3].endswith(f":{inode}"):
                    return int(words[-4])
        return 0

    def kill(self) -> int:
        """Kill the process that runs it; return which that was."""
        worker = self.worker()
        assert worker, f"nobody copies {self.image}: {self.door.task(self.task)}"
        self.door.kill(worker)
        return worker

    def kill_when(self, moment: Callable[[], bool]) -> None:
        """Kill its process once a moment has come, and before it is over."""
        wait = self.door.bench.wait
        wait(lambda: self._stopped(moment), f"{moment} of {self.image}", every=0.002)
        self.kill()

    def _stopped(self, moment: Callable[[], bool]) -> bool:
        """Tell whether a moment has come and cannot pass."""
        if not moment():
            return False
        worker = self.worker()
        assert worker, f"{self.image} is over: {self.door.task(self.task)}"
        os.kill(worker, signal.SIGSTOP)
        if moment():
            return True
        os.kill(worker, signal.SIGCONT)
        return False

    # What came of it

    def over(self, within: float = 100) -> Task:
        """Return its task once it is over."""
        image, bench = self.image, self.door.bench
        running = {"pending", "processing"}
        bench.wait(
            lambda: (
                self.door.task(self.task).status not in running and not self.locked()
            ),
            f"the end of {image}",
            within=within,
        )
        return self.door.task(self.task)

    def succeeds(self) -> None:
        """Check that it ends well, whole, and that nothing else is there."""
        told = self.over()
        assert told.status == "success", told
        self.door.is_whole(self.image, self.target)
        # That of a process that was killed is not dropped before it ends.
        self.door.bench.wait(lambda: not self.leased(), "the lease's end")
        self.leaves_nothing()
        assert self.flags() == {}

    def fails(self, *words: str) -> str:
        """Check that it fails for a reason, and that nothing remains of it."""
        told = self.over()
        assert told.status == "failure", told
        for word in (self.target, *words):
            assert word in told.message, told
        self.leaves_nothing()
        assert not self.pool.id_of(self.image)
        assert self.flags() == {_FLAGS[1]: self.target}
        assert self.target not in self.door.bench.stores(self.image)
        return told.message

    def ends_badly(self, within: float) -> None:
        """Check that it fails for a reason that its task tells."""
        told = self.over(within)
        assert told.status == "failure", told
        assert f"Not copied to {self.target}: " in told.message, told
        assert self.flags() == {_FLAGS[1]: self.target}

    def says_something(self, times: int) -> None:
        """Return once its task was changed so many times more, in other seconds."""
        seen = {self.door.changed(self.task)}

        def heard() -> bool:
            seen.add(self.door.changed(self.task))
            return len(seen) > times

        self.door.bench.wait(heard, "what it says", every=0.2)

    def leaves_nothing(self) -> None:
        """Check that there are no traces of it but an image, or none."""
        assert not self._draft()
        assert self.pool.strangers() <= self._strange
        assert self.pool.ceph.json("rbd", "trash", "ls", "--all", IMAGES) == []
        self.door.bench.wait(lambda: not self._record(), "the record's end")

    def _record(self) -> bool:
        return (self.door.records / f"{self.task}.copy").exists()

    def flags(self) -> dict[str, str]:
        """Return what Glance says of imports of the image."""
        told = self.door.bench.show(self.image)
        return {each: told[each] for each in (_LOCK, *_FLAGS) if told.get(each)}


_LISTED = (
    "SELECT 1 FROM image_locations WHERE image_id = ? AND status = 'active' "
    "AND meta_data LIKE ?"
)
_LOCKED = (
    "SELECT 1 FROM image_properties WHERE image_id = ? AND name = ? AND deleted = 0"
)
_TASK = (
    "SELECT status, message FROM tasks JOIN task_info ON tasks.id = task_id "
    "WHERE tasks.id = ?"
)


class DoorBench:
    """Hands for copies in a Glance that serves our door.

    Attributes:
        bench: Hands for the rest of the lab.
        pools: By store.
        records: Where the copies that run are noted.
    """

    def __init__(self, bench: CephBench) -> None:
        self.bench = bench
        self.pools = {site: Pool(ceph) for site, ceph in bench.clusters.items()}
        self._home = Path(bench.lab["glance"]["access_log"]).parent
        self.records = self._home / "staging" / ".cowpath"

    def copy(
        self, image: str, *stores: str, all_or_none: bool = True, at: str = ""
    ) -> Copying:
        """Ask Glance for a copy of an image; return the one to the first store."""
        how: dict[str, Any] = {"method": {"name": "copy-image"}, "stores": stores}
        how["all_stores_must_succeed"] = all_or_none
        self.bench.ask("POST", f"/v2/images/{at or image}/import", how)
        task, _ = self.bench.tasks(image)[-1]
        return Copying(self, image, stores[0], task)

    def task(self, task: str) -> Task:
        """Return what Glance says of a task."""
        [row] = self.rows(_TASK, task)
        return Task(str(row[0]), str(row[1] or ""))

    def changed(self, task: str) -> str:
        """Return when a task was changed last."""
        [row] = self.rows("SELECT updated_at FROM tasks WHERE id = ?", task)
        return str(row[0])

    def rows(self, words: str, *told: str) -> list[Any]:
        """Ask Glance's database."""
        return self._database.execute(words, told).fetchall()

    @cached_property
    def _database(self) -> sqlite3.Connection:
        file = self.bench.lab["glance"]["database"]
        return sqlite3.connect(file, timeout=30, isolation_level=None)

    @contextmanager
    def refusing(self, step: "Step", image: str) -> Iterator[None]:
        """Have Glance's database refuse a step, as it does when another one writes."""
        # One statement of its own each, and a name is no parameter.
        self._database.execute(step.value.format(image=image))
        try:
            yield
        finally:
            self._database.execute("DROP TRIGGER refused")

    def workers(self) -> set[int]:
        """Return the processes that answer and copy."""
        return {
            each.pid for each in self.bench._glance() if "worker" in each.arguments[0]
        }

    def kill(self, worker: int) -> None:
        """Kill a process of Glance's for good; its master starts another."""
        os.kill(worker, signal.SIGKILL)
        self.bench.wait(lambda: not Path(f"/proc/{worker}").exists(), "its death")

    def replace_workers(self, but: int = 0) -> None:
        """Kill all processes of Glance's but one, and return once others answer."""
        killed, before = self.workers() - {but}, self.log().count(_STARTED)
        for worker in killed:
            self.kill(worker)
        self.bench.wait(
            lambda: self.log().count(_STARTED) == before + len(killed), "others"
        )

    def log(self) -> str:
        """Return what Glance has written."""
        return (self._home / "glance.log").read_text(errors="replace")

    def is_whole(self, image: str, store: str) -> None:
        """Check that a store has an image's bytes, ready to be cloned."""
        told = self.bench.show(image)
        assert store in self.bench.stores(image), told
        with self.pools[store].ceph.opened(IMAGES, image) as seen:
            assert [each["name"] for each in seen.list_snaps()] == ["snap"]
            assert seen.is_protected_snap("snap")
            seen.set_snap("snap")
            assert seen.size() == told["size"]
            data = seen.read(0, seen.size())
        assert sha512(data).hexdigest() == told["os_hash_value"]

    def change_behind_its_back(self, image: str, store: str, *, again: bool) -> None:
        """Remove an image's snapshot, and make another of other bytes or none."""
        with self.pools[store].ceph.opened(IMAGES, image, writable=True) as opened:
            opened.unprotect_snap("snap")
            opened.remove_snap("snap")
            if again:
                opened.write(b"other bytes", 0)
                opened.create_snap("snap")
                opened.protect_snap("snap")

    def make(self, store: str, *, size: int, data: int) -> str:
        """Publish an image whose first bytes are data, not through Glance."""
        image, total, ceph = self.bench.announce(), sha512(), self.pools[store].ceph
        with ceph.pool(IMAGES) as pool:
            rbd.RBD().create(pool, image, size, order=23)
            with rbd.Image(pool, image) as opened:
                for start in range(0, size, OBJECT):
                    piece = os.urandom(OBJECT) if start < data else bytes(OBJECT)
                    total.update(piece)
                    if start < data:
                        opened.write(piece, start)
                opened.create_snap("snap")
                opened.protect_snap("snap")
        hashed = {"os_hash_algo": "sha512", "os_hash_value": total.hexdigest()}
        location = {
            "url": f"rbd://{ceph.fsid}/{IMAGES}/{image}/snap",
            "metadata": {"store": store},
            "validation_data": hashed | {"checksum": "0" * 32},
        }
        change = {"op": "add", "path": "/locations/-", "value": location}
        self.bench.patch(image, [change])
        return image

    def peak(self, process: int, *, anew: bool = False) -> int:
        """Return the most memory that a process had, or has now.

        Args:
            process: Its number.
            anew: Forget what it had before.
        """
        home = Path("/proc", str(process))
        if anew:
            (home / "clear_refs").write_text("5")
        [line] = (
            each
            for each in (home / "status").read_text().splitlines()
            if each.startswith("VmHWM")
        )
        return int(line.split()[1]) * 1024

    def serve(self) -> None:
        """Serve our door, by two processes; to `central` it copies slowly."""
        limit = f"cowpath.bandwidth={EDGE}:{CENTRAL}={SLOW}"
        settings = ("--set", "lab.workers=2", "--set", limit)
        service("glance", "start", "--door", "cowpath", *settings)

    def answers(self) -> bool:
        """Tell whether Glance answers where it is asked."""
        with suppress(OSError):
            return bool(self.bench.ask("GET", "/v2/images?limit=1"))
        return False

    def close(self) -> None:
        """Let go of Glance's database."""
        with closing(self._database):
            pass
