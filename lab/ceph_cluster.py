"""One small Ceph cluster: its files, its identity, its pools."""

import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import ceph_conf
from lab.ceph_conf import CLIENT_BOUNDS, HOST, Identity
from lab.ceph_users import POOLS, USERS, entities, keyring, new_key
from lab.errors import LabError
from lab.files import read, write
from lab.ports import first_free, holder, is_free
from lab.processes import end, find
from lab.programs import clean_environment, need, run
from lab.waiting import wait_until

# Debian's and Ubuntu's own interpreter: Ceph's bindings are for no other.
SYSTEM_PYTHON = "/usr/bin/python3"

_PRIVATE = 0o600
_PRIVATE_FOLDER = 0o700
_MADE_WITHIN_SECONDS = 30.0
_POOLS_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster's daemons run.

    Attributes:
        host: Their address.
        enter: Returns the command line by which a program gets there.
    """

    host: str = HOST
    enter: Callable[[], Sequence[str]] = tuple


class Cluster:
    """A cluster of one monitor, one manager and one OSD."""

    def __init__(
        self, folder: Path, blocks: list[range], place: Place | None = None
    ) -> None:
        self.folder = folder
        self.place = place or Place()
        self._blocks = blocks

    @property
    def name(self) -> str:
        """What the lab calls it."""
        return self.folder.name

    @property
    def daemons_conf(self) -> Path:
        """What its daemons read."""
        return self.folder / "daemons.conf"

    @property
    def etc(self) -> Path:
        """What a host that uses it would have in /etc/ceph."""
        return self.folder / "etc"

    @property
    def client_conf(self) -> Path:
        """What a compute host reads."""
        return self.etc / "ceph.conf"

    @property
    def glance_conf(self) -> Path:
        """What Glance reads: without bounds, as operators have it."""
        return self.etc / "ceph-glance.conf"

    @property
    def run_folder(self) -> Path:
        """Where its daemons run."""
        return self.folder / "run"

    @property
    def _record(self) -> Path:
        return self.folder / "cluster.json"

    @property
    def _moving(self) -> Path:
        return self.folder / "moving"

    @property
    def _pools_record(self) -> Path:
        return self.folder / "pools-made"

    def keyring(self, user: str) -> Path:
        """Return the file with a user's key."""
        return self.etc / f"ceph.client.{user}.keyring"

    def key(self, user: str) -> str:
        """Return a user's key. Never print it, never put it on a command line."""
        return read(self.keyring(user)).partition("key = ")[2].split("\n", 1)[0]

    def known(self) -> Identity | None:
        """Return what was made, or None where it is missing or half made."""
        text = read(self._record)
        return Identity(**json.loads(text)) if text else None

    @property
    def identity(self) -> Identity:
        """What was made; waits a little for whoever is making it.

        Raises:
            LabError: Nobody made it.
        """
        wait_until(self._record.exists, within_seconds=_MADE_WITHIN_SECONDS)
        known = self.known()
        if known is None:
            message = (
                f"There is no cluster {self.name} yet: "
                f"its monitor makes it; start {self.name}-mon."
            )
            raise LabError(message)
        return known

    def ensure(self) -> None:
        """Make it where it is missing or half made; write what its hosts read.

        Its monitor does not run yet. Where another program has its ports by now, it
        gets others.

        Raises:
            LabError: It cannot be given others, because its other daemons run.
        """
        identity = self.known() or self._make()
        taken = [port for port in identity.monitor_ports if not is_free(port)]
        if taken:
            self._check_idle(taken[0])
        if taken or self._moving.exists():
            identity = self._move(identity)
        self._configure(identity)

    def _check_idle(self, taken: int) -> None:
        """See that none of its daemons runs: they know the monitor's ports."""
        running = find("ceph-", self.folder)
        if running:
            names = ", ".join(Path(each.arguments[0]).name for each in running)
            raise LabError(
                f"Port {taken} of {self.name}'s monitor is taken by {holder(taken)}, "
                f"and it gets no other one while {names} of the same cluster runs. "
                "End that program, or run `python -m lab down` and `up` for this kind."
            )

    def _move(self, identity: Identity) -> Identity:
        """Give its monitor, which does not run, other ports."""
        moved = replace(identity, port=first_free(self._blocks).start)
        # Whoever is interrupted here begins again: the monitor's own database and the
        # record have to say the same.
        self._moving.touch()
        self._configure(moved)
        monmap = self._write_monmap(moved)
        conf = ("-c", str(self.daemons_conf))
        self.tool("ceph-mon", *conf, "-i", "a", "--inject-monmap", str(monmap))
        write(self._record, json.dumps(asdict(moved)) + "\n")
        self._moving.unlink()
        return moved

    def _make(self) -> Identity:
        # A daemon whose cluster somebody removed.
        end("ceph-", self.folder, grace_seconds=0)
        shutil.rmtree(self.folder, ignore_errors=True)
        identity = Identity(
            fsid=str(uuid.uuid4()),
            osd_uuid=str(uuid.uuid4()),
            secret_uuid=str(uuid.uuid4()),
            port=first_free(self._blocks).start,
            host=self.place.host,
        )
        self.folder.mkdir(mode=_PRIVATE_FOLDER, parents=True)
        for name in ("run", "log"):
            (self.folder / name).mkdir()
        self._write_keys()
        self._configure(identity)
        self._make_monitor(identity)
        write(self._record, json.dumps(asdict(identity)) + "\n")
        return identity

    def _write_keys(self) -> None:
        caps = entities()
        keys = {entity: new_key() for entity in caps}
        seed = keyring(keys, caps)
        write(self.folder / "seed.keyring", seed, mode=_PRIVATE)
        for user in ("admin", *USERS):
            entity = f"client.{user}"
            text = keyring({entity: keys[entity]})
            write(self.keyring(user), text, mode=_PRIVATE)
        for daemon in ("osd.0", "mgr.x"):
            text = keyring({daemon: keys[daemon]})
            write(self.folder / f"{daemon}.keyring", text, mode=_PRIVATE)

    def _configure(self, identity: Identity) -> None:
        write(self.daemons_conf, ceph_conf.daemons(self.folder, identity))
        bounded = ceph_conf.client(self.etc, identity, CLIENT_BOUNDS)
        write(self.client_conf, bounded)
        write(self.glance_conf, ceph_conf.client(self.etc, identity, {}))

    def _make_monitor(self, identity: Identity) -> None:
        monmap, seed = self._write_monmap(identity), self.folder / "seed.keyring"
        conf = ("-c", str(self.daemons_conf))
        given = ("--monmap", str(monmap), "--keyring", str(seed))
        self.tool("ceph-mon", *conf, "--mkfs", "-i", "a", *given)
        seed.unlink()

    def _write_monmap(self, identity: Identity) -> Path:
        monmap = self.folder / "monmap"
        self.tool(
            "monmaptool",
            *("--create", "--clobber", "--fsid", identity.fsid),
            *("--addv", "a", identity.monitors),
            *("--set-min-mon-release", "16", str(monmap)),
        )
        return monmap

    def tool(self, program: str, *arguments: str) -> str:
        """Run one of Ceph's programs, with this cluster's folder for its leftovers."""
        run_folder = self.run_folder
        env = clean_environment(run_folder)
        command = [*self.place.enter(), need(program), *arguments]
        return run(command, env=env, cwd=run_folder)

    def register_osd(self) -> None:
        """Have the monitor know the OSD; its key it knows already."""
        self._ask("register", self.identity.osd_uuid)

    def calm_manager(self) -> None:
        """Have the manager, which is not started yet, make no pool of its own."""
        self._ask("calm")

    def ensure_pools(self) -> None:
        """Make the pools that are missing, and see that they can be written to."""
        self._configure(self.identity)
        self._ask("pools", *POOLS)
        self._pools_record.touch()

    def wait_for_pools(self) -> None:
        """Wait for them, where somebody else is making them.

        Raises:
            LabError: Nobody made them.
        """
        if not wait_until(
            self._pools_record.exists, within_seconds=_POOLS_WITHIN_SECONDS
        ):
            message = f"Cluster {self.name} has no pools: `up` makes them."
            raise LabError(message)

    def _ask(self, *words: str) -> None:
        lab = Path(__file__).parent
        run(
            [SYSTEM_PYTHON, "-m", "lab.ceph_setup", str(self.client_conf), *words],
            env=clean_environment(self.run_folder, PYTHONDONTWRITEBYTECODE="1"),
            cwd=lab.parent,
            within_seconds=_POOLS_WITHIN_SECONDS,
        )
