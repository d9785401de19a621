"""A cluster's daemons."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.admin_socket import ask
from lab.ceph_cluster import Cluster
from lab.errors import LabError
from lab.files import read
from lab.processes import Process, end, find, spawn
from lab.programs import clean_environment, need, tail
from lab.waiting import wait_until

_START_WITHIN_SECONDS = 40.0
_STOP_WITHIN_SECONDS = 10.0
_OTHERS_WITHIN_SECONDS = 20.0


class Daemon(ABC):
    """One daemon of a cluster."""

    kind: str
    number: str

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._data = cluster.folder / self.kind

    @property
    def name(self) -> str:
        """Cluster and kind, as in `edge-osd`."""
        return f"{self._cluster.name}-{self.kind}"

    @property
    def log(self) -> Path:
        """What it writes about itself."""
        return self._cluster.folder / "log" / f"{self.kind}.log"

    @property
    def _output(self) -> Path:
        return self.log.with_suffix(".out")

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether a client would get an answer."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what it needs."""

    def processes(self) -> list[Process]:
        """Return the daemon's process."""
        return find(f"ceph-{self.kind}", self._cluster.folder)

    def say(self, command: str) -> dict[str, object]:
        """Return what it answers to a command of its own."""
        return dict(ask(self._cluster.run_folder / f"{self.kind}.asok", command))

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make what it needs and start it; return when it answers."""
        if settings:
            message = f"{self.name} takes no --set; only glance does."
            raise LabError(message)
        if self.processes() and self.answers():
            return
        self.stop()
        self._prepare()
        self._spawn()

    def stop(self) -> None:
        """End it; what it has promised to keep is on disk already."""
        folder = self._cluster.folder
        program = f"ceph-{self.kind}"
        if not end(program, folder, grace_seconds=_STOP_WITHIN_SECONDS):
            message = f"{self.name} cannot be killed: see `status`."
            raise LabError(message)

    clear = stop

    def wait(self) -> None:
        """Wait for it, where somebody else is starting it.

        Raises:
            LabError: It did not come up.
        """
        if not wait_until(self.answers, within_seconds=_OTHERS_WITHIN_SECONDS):
            message = (
                f"{self.name} does not answer: start it first. Its log: {self.log}"
            )
            raise LabError(message)

    def _spawn(self) -> None:
        cluster = self._cluster
        how = ("-f", "-i", self.number)
        conf = ("-c", str(cluster.daemons_conf))
        started = spawn(
            [*cluster.place.enter(), need(f"ceph-{self.kind}"), *how, *conf],
            # A manager run by root would compile its modules beside their sources.
            env=clean_environment(cluster.run_folder, PYTHONDONTWRITEBYTECODE="1"),
            cwd=cluster.run_folder,
            log=self._output,
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=_START_WITHIN_SECONDS,
        )
        if started.poll() is not None or not self.answers():
            with suppress(LabError):
                self.stop()
            logs = tail(read(self._output)) + "\n" + tail(read(self.log))
            message = (
                f"{self.name} does not start. Its last words ({self.log}):\n{logs}"
            )
            raise LabError(message)


class Monitor(Daemon):
    """The monitor, which makes its cluster where there is none."""

    kind = "mon"
    number = "a"

    @property
    def address(self) -> str:
        """Its addresses of both protocols."""
        known = self._cluster.known()
        return known.monitors if known else "-"

    def answers(self) -> bool:
        """Tell whether it is a quorum of one."""
        return self.say("mon_status").get("state") == "leader"

    def _prepare(self) -> None:
        self._cluster.ensure()


class Osd(Daemon):
    """The OSD."""

    kind = "osd"
    number = "0"

    def __init__(self, cluster: Cluster, monitor: Monitor) -> None:
        super().__init__(cluster)
        self._monitor = monitor

    @property
    def address(self) -> str:
        """The ports of which it takes eight."""
        return _daemon_ports(self._cluster)

    def answers(self) -> bool:
        """Tell whether it serves its cluster."""
        return self.say("status").get("state") == "active"

    def _prepare(self) -> None:
        identity = self._cluster.identity
        if not (self._data / "ready").exists():
            self._make(identity.osd_uuid)
        # Without a monitor it would not come up, and not say why.
        self._monitor.wait()
        registered = self._data / "registered"
        if not registered.exists():
            self._cluster.register_osd()
            registered.touch()

    def _make(self, uuid: str) -> None:
        cluster = self._cluster
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir()
        shutil.copy(cluster.folder / "osd.0.keyring", self._data / "keyring")
        conf = ("-c", str(cluster.daemons_conf))
        monmap = ("--monmap", str(cluster.folder / "monmap"))
        what = ("-i", self.number, "--mkfs", "--osd-uuid", uuid)
        cluster.tool("ceph-osd", *conf, *what, *monmap)


class Manager(Daemon):
    """The manager, without which a cluster does not know how full it is."""

    kind = "mgr"
    number = "x"

    def __init__(self, cluster: Cluster, monitor: Monitor) -> None:
        super().__init__(cluster)
        self._monitor = monitor

    @property
    def address(self) -> str:
        """The ports of which it takes two."""
        return _daemon_ports(self._cluster)

    def answers(self) -> bool:
        """Tell whether it runs."""
        return bool(self.say("version"))

    def _prepare(self) -> None:
        folder = self._cluster.folder
        _ = self._cluster.identity
        self._monitor.wait()
        keyring = self._data / "keyring"
        if not keyring.exists():
            self._cluster.calm_manager()
            self._data.mkdir(exist_ok=True)
            shutil.copy(folder / "mgr.x.keyring", keyring)


def _daemon_ports(cluster: Cluster) -> str:
    known = cluster.known()
    if known is None:
        return "-"
    first, last = known.daemon_ports
    return f"{known.host}:{first}-{last}"
