"""Nova: its API, scheduler and conductor, and a compute for each site."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import bindings, nova_conf
from lab.ceph_cluster import Cluster
from lab.daemon import Daemon
from lab.errors import LabError
from lab.files import ini, read, write
from lab.glance_config import Sections, merge, override
from lab.libvirtd import Libvirtd
from lab.mariadb import MariaDb
from lab.nova_conf import Cloud
from lab.port_block import PortBlock
from lab.programs import clean_environment
from lab.rabbitmq import RabbitMq
from lab.venv import Venv
from lab.wsgi import Wsgi

STOCK = "lab.stock=true"
"""A setting for a compute: run Nova's own program."""

_PROGRAM, _STOCK_PROGRAM = "cowpath-nova-compute", "nova-compute"
_READY = b"Join ServiceGroup membership for this service"


class Controllers:
    """What the API, the scheduler and the conductor share."""

    def __init__(
        self, venv: Venv, database: MariaDb, broker: RabbitMq, others: Sequence[Daemon]
    ) -> None:
        self.venv = venv
        self.database = database
        self._needed = (database, broker, *others)

    def sections(self, home: Path, name: str, cloud: Cloud) -> Sections:
        """Return the configuration of one of them."""
        databases = {
            "database": {"connection": self.database.url("nova_cell1")},
            "api_database": {"connection": self.database.url("nova_api")},
        }
        return nova_conf.controller(home, name, cloud, databases)

    def wait(self) -> None:
        """Wait for what all of them need."""
        self.venv.ensure()
        for needed in self._needed:
            needed.wait()


class NovaApi(Wsgi):
    """The compute API."""

    application = "nova.wsgi.osapi_compute:application"

    def __init__(
        self,
        home: Path,
        ports: PortBlock,
        shared: Controllers,
        cloud: Callable[[], Cloud],
    ) -> None:
        super().__init__("nova-api", home, ports, shared.venv)
        self._shared = shared
        self._cloud = cloud

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.home / "etc/nova.conf"

    def prepare(self) -> None:
        """Bring its pipeline; wait for whom it needs."""
        self._shared.wait()
        paste = Path(self._venv.program("nova-manage")).parents[1] / "etc/nova"
        self.conf.parent.mkdir(exist_ok=True)
        shutil.copy(paste / "api-paste.ini", self.conf.parent)

    def sections(self) -> Sections:
        """Return its configuration."""
        return self._shared.sections(self.home, self.name, self._cloud())

    @property
    def variables(self) -> Mapping[str, str]:
        """Where its configuration lies."""
        return {"OS_NOVA_CONFIG_DIR": str(self.conf.parent)}


class NovaDaemon(Daemon):
    """A service of Nova's that listens to RabbitMQ."""

    # It waits minutes for what it is at, and serves nobody meanwhile.
    grace_seconds = 8.0

    @property
    def address(self) -> str:
        """It has none: it is called through RabbitMQ."""
        return "-"

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.home / "nova.conf"

    @property
    def _mark(self) -> Path:
        return self.home / "log-mark"

    def answers(self) -> bool:
        """Tell whether it said, since it was started, that it takes calls."""
        try:
            with self.log.open("rb") as log:
                log.seek(int(read(self._mark) or 0))
                ready = any(_READY in line for line in log)
        except OSError:
            return False
        return ready and bool(self.processes())

    def mark_log(self) -> None:
        """Note where the log of the coming run begins."""
        size = self.log.stat().st_size if self.log.exists() else 0
        write(self._mark, f"{size}\n")


class Controller(NovaDaemon):
    """The scheduler or the conductor."""

    def __init__(
        self,
        name: str,
        home: Path,
        shared: Controllers,
        cloud: Callable[[], Cloud],
    ) -> None:
        super().__init__(name, home)
        self.programs = (name,)
        self._shared = shared
        self._cloud = cloud

    def prepare(self) -> None:
        """Wait for whom it needs."""
        self._shared.wait()
        self.mark_log()

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return its configuration file."""
        sections = self._shared.sections(self.home, self.name, self._cloud())
        return {self.conf: ini(override(sections, settings))}

    def command(self) -> Sequence[str]:
        """Return the program."""
        program = self._shared.venv.program(self.name)
        return [program, "--config-file", str(self.conf)]

    def environment(self) -> Mapping[str, str]:
        """Nothing but a home."""
        return clean_environment(self.home, TMPDIR=str(self.home))


@dataclass(frozen=True, slots=True)
class Needed:
    """Whom a compute needs of the services that serve all sites.

    Attributes:
        conductor: It asks it for everything that is in a database.
        welcome: Waits until servers can be scheduled to a site, by its name.
    """

    conductor: Daemon
    welcome: Callable[[str], None]


class Compute(NovaDaemon):
    """A nova-compute: a site's only host."""

    programs = (_PROGRAM, _STOCK_PROGRAM, "privsep-helper")

    def __init__(
        self,
        home: Path,
        cluster: Cluster,
        libvirtd: Libvirtd,
        cloud: Callable[[], Cloud],
        needed: Needed,
        venv: Venv,
    ) -> None:
        super().__init__(f"compute-{cluster.name}", home)
        self._cluster = cluster
        self._libvirtd = libvirtd
        self._cloud = cloud
        self._venv = venv
        self._needed = needed

    @property
    def conf(self) -> Path:
        """Its configuration file, as an operator would write it."""
        return self.home / f"nova-{self._cluster.name}.conf"

    @property
    def instances(self) -> Path:
        """The folder with a folder for each instance."""
        return self.home / "instances"

    def describe(self) -> dict[str, object]:
        """Return what lab.json says of the site."""
        return {
            "host": self._cluster.name,
            "store": self._cluster.name,
            "nova_conf": str(self.conf),
            "instances_path": str(self.instances),
            "log": str(self.log),
            "libvirt_uri": self._libvirtd.uri,
        }

    def start(self, settings: Sequence[str] = ()) -> None:
        """Start it; return when the scheduler sees it, where there is one to ask.

        It says for the first time that it is up five seconds after its start; if its
        last word before is older than a minute, nothing is scheduled to it till then.
        """
        super().start(settings)
        self._needed.welcome(self._cluster.name)

    @property
    def _choice(self) -> Path:
        return self.home / "program"

    def prepare(self) -> None:
        """Make its folders; wait for whom it calls when it starts."""
        self._venv.ensure()
        bindings.link(self.home / "bindings", bindings.CEPH + bindings.LIBVIRT)
        for folder in (self.instances, self.home / "state", self.home / "locks"):
            folder.mkdir(parents=True, exist_ok=True)
        self._libvirtd.wait()
        self._cluster.wait_for_pools()
        self._needed.conductor.wait()
        self.mark_log()

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return its nova.conf, and which program is to read it."""
        program = _STOCK_PROGRAM if STOCK in settings else _PROGRAM
        rest = [each for each in settings if each != STOCK]
        return {
            self.conf: ini(override(self._sections(), rest)),
            self._choice: f"{program}\n",
        }

    def _sections(self) -> Sections:
        helper = self._venv.program("privsep-helper")
        compute = nova_conf.compute(
            self.home, self._cloud(), self._cluster, self._libvirtd.uri
        )
        return merge(compute, nova_conf.privileged(helper, self.conf))

    def command(self) -> Sequence[str]:
        """Return the program; bring ours into the environment where it is that."""
        name = read(self._choice).strip()
        program = self._venv.program(name)
        if name != _STOCK_PROGRAM:
            self._venv.add_checkout(Path(__file__).parents[1])
            if not Path(program).exists():
                message = (
                    f"This checkout has no {name}; "
                    f"`service {self.name} start --stock` starts Nova's own."
                )
                raise LabError(message)
        return [program, "--config-file", str(self.conf)]

    def environment(self) -> Mapping[str, str]:
        """Return a home, and where the machine's bindings are."""
        return clean_environment(
            self.home,
            TMPDIR=str(self.home),
            PYTHONPATH=str(self.home / "bindings"),
        )
