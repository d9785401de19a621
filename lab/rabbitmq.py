"""RabbitMQ: what Nova's services talk through."""

import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.daemon import Daemon, refuse
from lab.errors import LabError
from lab.port_block import PortBlock
from lab.ports import HOST
from lab.processes import Process, find, spawn
from lab.programs import clean_environment, need

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_ANSWER_WITHIN_SECONDS = 2.0
_CLIENT_HEADER = b"AMQP\0\0\x09\x01"
_METHOD_FRAME = b"\x01"
_CONF = """\
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
"""


class RabbitMq(Daemon):
    """The broker, and the port mapper without which Erlang does not run."""

    programs = ("beam.smp", "rabbitmq-server", "epmd")

    def __init__(self, home: Path, ports: PortBlock) -> None:
        super().__init__("rabbitmq", home)
        self._ports = ports

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self._ports.port('rabbitmq')}"

    @property
    def url(self) -> str:
        """Where a service finds it, with the user that every broker begins with."""
        return f"rabbit://guest:guest@{self.address}/"

    @property
    def log(self) -> Path:
        """What it writes about itself."""
        return self.home / "log/rabbitmq.log"

    @property
    def output(self) -> Path:
        """What it writes to its standard output and error."""
        return self.home / "rabbitmq.out"

    @property
    def _epmd(self) -> Path:
        return self.home / "bin/epmd"

    def processes(self) -> list[Process]:
        """Return the broker's processes, then the port mapper's."""
        return sorted(super().processes(), key=lambda each: each.runs("epmd"))

    def answers(self) -> bool:
        """Tell whether it greets a client."""
        address = (HOST, self._ports.port("rabbitmq"))
        try:
            with socket.create_connection(address, _ANSWER_WITHIN_SECONDS) as probe:
                probe.sendall(_CLIENT_HEADER)
                return probe.recv(1) == _METHOD_FRAME
        except OSError:
            return False

    def prepare(self) -> None:
        """Begin with nothing: what waits in queues is of no use to anybody later."""
        shutil.rmtree(self.home / "mnesia", ignore_errors=True)
        for name in ("mnesia", "log", "home"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        self._start_epmd()

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return files that stand in the place of the machine's own."""
        refuse(self.name, settings)
        return {
            self.home / "enabled_plugins": "[].\n",
            self.home / "rabbitmq-env.conf": "",
            self.home / "advanced.config": "[].\n",
            self.home / "rabbitmq.conf": _CONF,
        }

    def _start_epmd(self) -> None:
        """Start the port mapper by a name that says whose it is.

        The broker would start one that is nobody's and outlives it.
        """
        self._epmd.parent.mkdir(exist_ok=True)
        with suppress(FileExistsError):
            self._epmd.symlink_to(need("epmd"))
        if not find("epmd", self.home):
            where = ["-address", HOST, "-port", str(self._ports.port("epmd"))]
            command = [str(self._epmd), *where]
            env = clean_environment(self.home)
            spawn(command, env=env, cwd=self.home, log=self.output)

    def command(self) -> Sequence[str]:
        """Return the broker."""
        if not _SERVER.exists():
            message = (
                f"There is no {_SERVER}: `python -m lab packages --for openstack` "
                "says how to bring it."
            )
            raise LabError(message)
        return [str(_SERVER)]

    def environment(self) -> Mapping[str, str]:
        """Return where everything lies, which RabbitMQ learns in this way only."""
        home = self.home
        loopback = HOST.replace(".", ",")
        # One scheduler that sleeps when it has nothing to do.
        calm = f"+S 1:1 +sbwt none -kernel inet_dist_use_interface {{{loopback}}}"
        return clean_environment(
            home / "home",
            ERL_EPMD_ADDRESS=HOST,
            ERL_EPMD_PORT=str(self._ports.port("epmd")),
            RABBITMQ_NODENAME="lab@localhost",
            RABBITMQ_NODE_IP_ADDRESS=HOST,
            RABBITMQ_NODE_PORT=str(self._ports.port("rabbitmq")),
            RABBITMQ_DIST_PORT=str(self._ports.port("rabbitmq-dist")),
            RABBITMQ_MNESIA_BASE=str(home / "mnesia"),
            RABBITMQ_LOG_BASE=str(home / "log"),
            RABBITMQ_LOGS=str(self.log),
            RABBITMQ_PID_FILE=str(home / "pid"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(home / "enabled_plugins"),
            RABBITMQ_CONFIG_FILE=str(home / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(home / "advanced.config"),
            RABBITMQ_CONF_ENV_FILE=str(home / "rabbitmq-env.conf"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=calm,
        )
