"""MariaDB: one server for the databases of all OpenStack services."""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.daemon import Daemon, refuse
from lab.port_block import PortBlock
from lab.ports import HOST
from lab.programs import clean_environment, need, run

DATABASES = ("keystone", "placement", "glance", "nova_api", "nova_cell0", "nova_cell1")
USER = "openstack"
PASSWORD = "lab"  # noqa: S105 - of a server that only this machine reaches

_ANSWER_WITHIN_SECONDS = 2.0
_GREETING_BYTES = 5
_PROTOCOL_VERSION = 10


def empty(folder: Path) -> None:
    """Make a server's own tables, and no database of ours.

    Args:
        folder: What the server is to run on.
    """
    run(
        [
            need("mariadb-install-db"),
            *("--no-defaults", "--auth-root-authentication-method=normal"),
            *("--skip-test-db", "--user=root", f"--datadir={folder}"),
        ],
        env=clean_environment(folder.parent),
        cwd=folder.parent,
    )


class MariaDb(Daemon):
    """The server."""

    programs = ("mariadbd",)

    def __init__(
        self, home: Path, ports: PortBlock, fill: Callable[[Path], None] = empty
    ) -> None:
        """Know where it lies; nothing is made yet.

        Args:
            home: Its folder.
            ports: One of them is its own.
            fill: Makes the folder that it runs on.
        """
        super().__init__("mariadb", home)
        self._ports = ports
        self._fill = fill

    @property
    def data(self) -> Path:
        """What it runs on."""
        return self.home / "data"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self._ports.port('mariadb')}"

    def url(self, database: str) -> str:
        """Return where a service finds a database."""
        who = f"{USER}:{PASSWORD}@{self.address}"
        return f"mysql+pymysql://{who}/{database}?charset=utf8"

    def describe(self) -> dict[str, object]:
        """Return what lab.json says of it."""
        port = self._ports.port("mariadb")
        who = [f"--user={USER}", f"--password={PASSWORD}"]
        where = ["--protocol=tcp", f"--host={HOST}", f"--port={port}"]
        return {
            "client": [need("mariadb"), "--no-defaults", *where, *who],
            "names": list(DATABASES),
            "log": str(self.log),
        }

    def answers(self) -> bool:
        """Tell whether it greets a client, on the databases that are its own.

        While they are made, another server makes them, at the same address.
        """
        if not self.data.exists():
            return False
        address = (HOST, self._ports.port("mariadb"))
        try:
            with socket.create_connection(address, _ANSWER_WITHIN_SECONDS) as probe:
                greeting = probe.recv(_GREETING_BYTES)
        except OSError:
            return False
        return greeting[-1:] == bytes([_PROTOCOL_VERSION])

    def prepare(self) -> None:
        """Make what it runs on."""
        if not self.data.exists():
            self._fill(self.data)

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return what it does first: see that databases and user are there."""
        refuse(self.name, settings)
        user = f"'{USER}'@'{HOST}'"
        grants = [
            # Over TCP it would be anybody's, without a password.
            "DELETE FROM mysql.global_priv WHERE User='root' AND Host<>'localhost';",
            "FLUSH PRIVILEGES;",
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}';",
        ]
        for name in DATABASES:
            made = f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;"
            grants += [made, f"GRANT ALL ON {name}.* TO {user};"]
        return {self.home / "init.sql": "\n".join(grants) + "\n"}

    def command(self) -> Sequence[str]:
        """Return a server that keeps little in memory and promises little."""
        return [
            need("mariadbd"),
            *("--no-defaults", "--user=root", f"--datadir={self.data}"),
            # Below the data, however long that path is.
            *("--socket=server.sock", f"--pid-file={self.home}/pid"),
            f"--log-error={self.log}",
            *(f"--bind-address={HOST}", f"--port={self._ports.port('mariadb')}"),
            f"--secure-file-priv={self.data}",
            *("--skip-name-resolve", "--skip-log-bin", "--performance-schema=0"),
            *("--innodb-buffer-pool-size=96M", "--innodb-log-file-size=16M"),
            # A crash of the machine may cost the last second, one of the server none.
            "--innodb-flush-log-at-trx-commit=2",
            *("--max-connections=500", "--transaction-isolation=READ-COMMITTED"),
            f"--init-file={self.home}/init.sql",
        ]

    def environment(self) -> Mapping[str, str]:
        """Nothing but a home."""
        return clean_environment(self.home)
