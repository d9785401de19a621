"""What Glance stands on in the kind `openstack`: Keystone and the common database."""

from collections.abc import Sequence
from pathlib import Path

from lab import glance_config
from lab.files import write
from lab.glance_config import Sections
from lab.keystone import token_check
from lab.layout import Layout
from lab.mariadb import MariaDb
from lab.port_block import PortBlock
from lab.venv import Venv


class WithKeystone:
    """The cloud's own identity service, a database server, a policy to change."""

    def __init__(
        self, layout: Layout, ports: PortBlock, venv: Venv, database: MariaDb
    ) -> None:
        self._home = layout.glance
        self._ports = ports
        self._venv = venv
        self._database = database

    @property
    def policy(self) -> Path:
        """What is other than Glance's own rules; Glance reads it when it changes."""
        return self._home / "etc/policy.yaml"

    @property
    def venv(self) -> Venv:
        """The one of all services."""
        return self._venv

    @property
    def python_path(self) -> Sequence[Path]:
        """Nothing of the lab's."""
        return ()

    @property
    def needed(self) -> Sequence[Path]:
        """The rules."""
        return [self.policy]

    @property
    def sections(self) -> Sections:
        """Who knows who is asking, and where the database is."""
        return {
            "DEFAULT": {"debug": "True"},
            "database": {"connection": self._database.url("glance")},
            "keystone_authtoken": token_check(self._ports.url("keystone", "/v3")),
            "oslo_policy": {"policy_file": str(self.policy)},
            "paste_deploy": {"flavor": "keystone"},
        }

    def prepare(self) -> None:
        """Write no rules where there are none; wait for the database."""
        if not self.policy.exists():
            write(self.policy, "{}\n")
        self._database.wait()

    def paste(self) -> str:
        """Return the pipeline with Keystone's middleware."""
        factory = "keystonemiddleware.auth_token:filter_factory"
        return glance_config.paste("keystone", factory)

    def describe(self) -> dict[str, object]:
        """Return where its rules are, and in which database it is."""
        return {"policy_file": str(self.policy), "database": "glance"}
